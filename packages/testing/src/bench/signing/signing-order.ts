/** What a process that signs is told: so many URLs, one after another, of parts that follow one another. */
export interface SigningOrder {
  readonly signer: 'backhaul' | 'aws-sdk';
  readonly count: number;
}

export interface SigningReport {
  /** Of all threads, a collector's among them. */
  readonly cpuSeconds: number;
  /** The last one. */
  readonly url: string;
}
