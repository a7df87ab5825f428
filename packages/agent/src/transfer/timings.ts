import type { Backoff } from '../backoff.ts';

/** All waits and limits of a transfer; tests shorten them. */
export interface TransferTimings {
  /** From the question to DNS to a connection that takes bytes, with TLS and a proxy. */
  readonly connectMs: number;
  /**
   * No byte taken by the store's socket for this long: the connection is dead. It may take twice as long until that
   * is noticed, because Node takes it for progress that the first bytes of a large write were taken at once.
   */
  readonly stallMs: number;
  /** From the last byte of a part to the store's answer, at first. @see AnswerPatience */
  readonly answerMs: number;
  readonly maxAnswerMs: number;
  /** PUTs of one part that failed while the server was there, before the store counts as unavailable. */
  readonly maxFailures: number;
  /** Nor does it before a transfer has stored no part for this long: most outages are over by then. */
  readonly patienceMs: number;
  /** Of these, answers that the bytes do not match their checksum. */
  readonly maxDigestFailures: number;
  readonly backoff: Backoff;
  /** A URL is not used in the last part of its life: this long, or a fifth of it if that is shorter. */
  readonly urlMarginMs: number;
  /** How often the ages of URLs are looked at. */
  readonly urlCheckMs: number;
  /** A request for URLs that has had no answer is repeated after this long. */
  readonly urlAnswerMs: number;
  /** URLs of one part that the store called expired before it is clear that its clock and the signer's differ. */
  readonly maxExpiredUrls: number;
  /** Without a stored part for this long, the server is told why. */
  readonly stallReportMs: number;
  /** At least this long between two progress reports. */
  readonly reportMs: number;
  /** A transfer without any progress for this long is given up: nobody seems to want it any more. */
  readonly idleMs: number;
  /** How long an ended transfer can still repeat its last message, once it has been sent. */
  readonly rememberMs: number;
}

export const defaultTimings: TransferTimings = {
  connectMs: 50_000,
  stallMs: 25_000,
  answerMs: 45_000,
  maxAnswerMs: 600_000,
  maxFailures: 8,
  patienceMs: 300_000,
  maxDigestFailures: 3,
  backoff: { baseMs: 500, capMs: 20_000 },
  urlMarginMs: 30_000,
  urlCheckMs: 250,
  urlAnswerMs: 30_000,
  maxExpiredUrls: 5,
  stallReportMs: 5000,
  reportMs: 250,
  idleMs: 24 * 3_600_000,
  rememberMs: 600_000,
};
