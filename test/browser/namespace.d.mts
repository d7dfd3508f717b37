/** Types of namespace.mjs, which runs on whatever Node the machine has. */
export function prepareBrowsers(): { readonly chromium: boolean; readonly firefox: boolean }
export function namespaceHindrance(): string | undefined
export function inNamespace<T>(work: (prefix: readonly string[]) => T): T | undefined
