import { readFileSync } from 'node:fs';

// Runs inside the program under test, before anything of its own: see wall-clock.ts.
const RealDate = Date;
const file = String(process.env['BACKHAUL_TEST_CLOCK_OFFSET_FILE']);
let offsetMs = 0;

function now(): number {
  // Empty for a moment while it is written.
  const text = readFileSync(file, 'utf8');
  if (text !== '') offsetMs = Number(text);
  return RealDate.now() + offsetMs;
}

class SetDate extends RealDate {
  constructor(...given: readonly []) {
    // Any of Date's own forms; only the one without arguments asks for the time.
    if (given.length === 0) super(now());
    else super(...given);
  }

  static override now(): number {
    return now();
  }
}

globalThis.Date = SetDate as DateConstructor;
