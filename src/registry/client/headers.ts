/** Fields of a head, by names in lower case. */
export type Headers = Readonly<Record<string, string | undefined>>
