/** A document that is generated from the sources. */
export interface GeneratedDocument {
  /** Path from the root of the repository. */
  readonly path: string;
  /** Generates the whole text. It must be deterministic: no dates, no machine names. */
  generate(): Promise<string>;
}
