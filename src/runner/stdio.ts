/** How a job's process is given the three standard streams. */
export interface Stdio {
  readonly stdin: 'ignore' | 'inherit' | number
  /** A function gets what the process writes, in chunks. */
  readonly stdout: 'ignore' | 'inherit' | number | ((chunk: Buffer) => void)
  readonly stderr: 'ignore' | 'inherit' | number | ((chunk: Buffer) => void)
}
