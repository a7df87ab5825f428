/** A path that contains its request time by the clock that all local processes share (CLOCK_MONOTONIC). */
export function pathSentNow(): string {
  return `/bench/${process.hrtime.bigint()}.bin`;
}

/** @returns Milliseconds since the time in the path. @throws TypeError for any other path. */
export function millisecondsSince(path: string): number {
  const sentAt = /^\/bench\/(\d+)\.bin$/.exec(path)?.[1];
  if (sentAt === undefined) throw new TypeError(`${path} does not say when it was sent`);
  return Number(process.hrtime.bigint() - BigInt(sentAt)) / 1e6;
}
