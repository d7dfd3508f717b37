/** What answers of registries have gained since February 2026. */
import type { RegistryMessage } from '../../core/wire/registry-message.ts'

/** Members that later registries add to these answers, and so does ours (spec/05 §1.2). */
const ADDITIONS: Readonly<Record<string, readonly string[]>> = {
  register_ok: ['observed_addr', 'protocol_version', 'hostname_error'],
  resolve_ok: ['public_key', 'key_age_days'],
  lookup_ok: ['endpoints', 'version'],
  poll_handshakes_ok: ['public_key'],
  list_networks_ok: ['enterprise', 'created'],
}

/** Unless they were recorded. */
export function withoutAdditions(
  reply: RegistryMessage,
  recorded: RegistryMessage,
): RegistryMessage {
  const text = JSON.stringify(recorded)
  const added = (ADDITIONS[String(reply.type)] ?? []).filter((name) => !text.includes(`"${name}"`))
  return JSON.parse(JSON.stringify(reply), (name, value) =>
    added.includes(name) ? undefined : value,
  )
}
