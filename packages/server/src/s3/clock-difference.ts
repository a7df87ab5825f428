/** Stores accept signatures with a smaller difference (S3: 15 minutes), so a smaller one is not the cause. */
const MIN_DIFFERENCE_MS = 5 * 60_000;

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

const consequence =
  'The store refuses this server’s signatures until the clock is correct; the server then continues automatically.';

/** The response as the SDK's error stores it; only the header `Date` is used. */
interface DatedFailure {
  readonly $response?: { readonly headers?: Readonly<Record<string, string | undefined>> };
}

/** Recognizes S3's code, or the message with which stores refuse a presigned URL that was just signed. */
export function isClockRefusal(s3Code: string, message: string): boolean {
  if (s3Code === 'RequestTimeTooSkewed' || s3Code === 'RequestExpired') return true;
  return s3Code === 'AccessDenied' && /has expired|not valid yet|not yet valid/i.test(message);
}

/** Reports the difference between this machine's clock and the store's, if the response has a `Date`. */
export function clockAdvice(failure: object, now = Date.now()): string {
  const date = (failure as DatedFailure).$response?.headers?.['date'];
  const differenceMs = date === undefined ? Number.NaN : now - Date.parse(date);
  if (Number.isNaN(differenceMs) || Math.abs(differenceMs) < MIN_DIFFERENCE_MS) {
    return `Synchronise this machine's clock: it differs too much from the store's. ${consequence}`;
  }
  const direction = differenceMs < 0 ? 'behind' : 'ahead of';
  return `Synchronise this machine's clock, which is ${inWords(Math.abs(differenceMs))} ${direction} the store's. ${consequence}`;
}

function inWords(ms: number): string {
  if (ms < 2 * HOUR_MS) return `${Math.round(ms / MINUTE_MS)} minutes`;
  if (ms < 48 * HOUR_MS) return `${Math.round(ms / HOUR_MS)} hours`;
  return `${Math.round(ms / (24 * HOUR_MS))} days`;
}
