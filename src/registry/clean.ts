import * as limit from '#limit.ts'

/** Text from a registry, made safe for a terminal: no control characters, no tokens, bounded. */
export function clean(text: string): string {
  const safe = text
    .replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]+/g, ' ')
    .replace(/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}/gi, '$1 …')
    .replace(/\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*/g, '…')
  return safe.length > limit.messageLength ? `${safe.slice(0, limit.messageLength)}…` : safe
}
