/** Request to a signing process: sign this many URLs of consecutive parts sequentially. */
export interface SigningOrder {
  readonly signer: 'backhaul' | 'aws-sdk';
  readonly count: number;
}

export interface SigningReport {
  /** CPU time of all threads, including the garbage collector's. */
  readonly cpuSeconds: number;
  /** Last signed URL. */
  readonly url: string;
}
