import { readFileSync } from 'node:fs';

// This runs in the program under test before its own code; see wall-clock.ts.
const RealDate = Date;
const file = String(process.env['BACKHAUL_TEST_CLOCK_OFFSET_FILE']);
let offsetMs = 0;

function now(): number {
  // The file is empty for a moment while it is written.
  const text = readFileSync(file, 'utf8');
  if (text !== '') offsetMs = Number(text);
  return RealDate.now() + offsetMs;
}

class SetDate extends RealDate {
  constructor(...given: readonly []) {
    // All forms of Date's constructor are possible; only the one without arguments reads the clock.
    if (given.length === 0) super(now());
    else super(...given);
  }

  static override now(): number {
    return now();
  }
}

globalThis.Date = SetDate as DateConstructor;
