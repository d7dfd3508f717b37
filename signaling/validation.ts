/** What hostnames and tags may be, and the texts that say why not (spec/04 §8.6, §8.9). */
import { quoted } from './request-fields.ts'

const HOSTNAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/
const RESERVED_HOSTNAMES: readonly string[] = ['localhost', 'backbone', 'broadcast']
const TAG = /^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/
const TAGS_MAX = 10

/** Why this cannot be a hostname, or `undefined` when it can. */
export function hostnameProblem(hostname: string): string | undefined {
  if (hostname.length > 63) return 'hostname too long (max 63 chars)'
  if (!HOSTNAME.test(hostname))
    return 'hostname must be lowercase alphanumeric with hyphens, start/end with alphanumeric'
  if (RESERVED_HOSTNAMES.includes(hostname)) return `hostname ${quoted(hostname)} is reserved`
  return undefined
}

/** Names of networks are written as hostnames, with another reserved word (spec/04 §10.2). */
export function networkNameProblem(name: string): string | undefined {
  if (name.length > 63) return 'name too long (max 63 chars)'
  if (!HOSTNAME.test(name))
    return 'name must be lowercase alphanumeric with hyphens, start/end with alphanumeric'
  return name === 'backbone' ? `name ${quoted(name)} is reserved` : undefined
}

export type TagsResult =
  | { readonly tags: readonly string[]; readonly problem?: undefined }
  | { readonly problem: string }

/** Elements that are not strings are skipped, one leading `#` is stripped, duplicates stay. */
export function parseTags(value: unknown): TagsResult {
  const tags = (Array.isArray(value) ? value : [])
    .filter((tag) => typeof tag === 'string')
    .map((tag) => (tag.startsWith('#') ? tag.slice(1) : tag))
  if (tags.length > TAGS_MAX) return { problem: `too many tags (max ${TAGS_MAX})` }
  for (const tag of tags) {
    if (tag === '') return { problem: 'empty tag not allowed' }
    if (tag.length > 32) return { problem: `tag ${quoted(tag)} too long (max 32 chars)` }
    if (!TAG.test(tag))
      return { problem: `tag ${quoted(tag)} must be lowercase alphanumeric with hyphens` }
  }
  return { tags }
}
