/** A path that says when it was asked for, by the clock that all processes of a machine share (CLOCK_MONOTONIC). */
export function pathSentNow(): string {
  return `/bench/${process.hrtime.bigint()}.bin`;
}

/** @returns Milliseconds from then until now. @throws TypeError for any other path. */
export function millisecondsSince(path: string): number {
  const sentAt = /^\/bench\/(\d+)\.bin$/.exec(path)?.[1];
  if (sentAt === undefined) throw new TypeError(`${path} does not say when it was sent`);
  return Number(process.hrtime.bigint() - BigInt(sentAt)) / 1e6;
}
