// Small files as a seam: whole reads and durable whole writes. After a power cut a file is the old or the new one, never half.

export interface Files {
  /** The whole file, or undefined when there is none. Refuses files above `bytesMax`. */
  read(path: string, bytesMax?: number): string | undefined
  /** Writes beside, fsyncs, renames over, fsyncs the folder. Makes missing folders (0700). */
  write(path: string, text: string, mode: number): void
  remove(path: string): void
}
