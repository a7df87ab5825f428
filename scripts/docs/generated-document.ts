/** One document that is made from the sources. */
export interface GeneratedDocument {
  /** From the root of the repository. */
  readonly path: string;
  /** The whole text. The same sources give the same text: no dates, no machine's names. */
  generate(): Promise<string>;
}
