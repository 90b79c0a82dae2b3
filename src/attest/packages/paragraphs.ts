/** Paragraphs of `Key: value`, continued by lines that begin with a blank. */
export function paragraphs(text: string): readonly ReadonlyMap<string, string>[] {
  return text.split(/\n\s*\n/).map((paragraph) => {
    const fields = new Map<string, string>()
    for (const line of paragraph.split('\n')) {
      const colon = line.indexOf(':')
      if (colon > 0 && !/^\s/.test(line)) {
        const key = line.slice(0, colon)
        fields.set(key, fields.get(key) ?? line.slice(colon + 1).trim())
      }
    }
    return fields
  })
}
