import { MIN_RATE, parseByteRate } from '@backhaul/protocol';

const WEEKDAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;
const MINUTES_PER_DAY = 24 * 60;
const MINUTES_PER_WEEK = 7 * MINUTES_PER_DAY;
interface Entry {
  /** Minutes since the start of Sunday. */
  readonly minute: number;
  readonly bytesPerSecond: number | null;
}

/**
 * Value of `--max-rate`: a single rate, or a timetable in the format of rclone's `--bwlimit`, such as
 * `08:00,512k 19:00,off` or `Mon-08:00,512k Fri-19:00,off`. Times are in this machine's local time; each entry applies
 * until the next one, also over midnight and the end of the week.
 */
export class RateTimetable {
  readonly #entries: readonly Entry[];

  private constructor(entries: readonly Entry[]) {
    this.#entries = entries;
  }

  /** @returns The timetable, or a description of the problem. */
  static parse(text: string): RateTimetable | { readonly problem: string } {
    const rate = parseRate(text);
    if (rate !== undefined) return new RateTimetable([{ minute: 0, bytesPerSecond: rate }]);
    const words = text.trim().split(/\s+/);
    const entries: Entry[] = [];
    for (const word of words) {
      const parsed = parseEntry(word);
      if (parsed === null) {
        return {
          problem: `${JSON.stringify(word)} is neither a rate of ${MIN_RATE} bytes per second or more, such as 250000 or 512k, nor an entry of a timetable, such as 08:00,512k or Mon-19:00,off`,
        };
      }
      entries.push(...parsed);
    }
    entries.sort((a, b) => a.minute - b.minute);
    const duplicate = entries.find(({ minute }, index) => minute === entries[index - 1]?.minute);
    if (duplicate !== undefined) return { problem: `two entries start at ${timeOf(duplicate.minute)}` };
    return new RateTimetable(entries);
  }

  /** Bytes per second; null for no limit. */
  at(date: Date): number | null {
    const minute = date.getDay() * MINUTES_PER_DAY + date.getHours() * 60 + date.getMinutes();
    // Before the first entry of the week, the last one applies.
    const entry = this.#entries.findLast((each) => each.minute <= minute) ?? this.#entries.at(-1);
    return entry?.bytesPerSecond ?? null;
  }
}

/** Undefined if the text is not a rate. */
function parseRate(text: string): number | null | undefined {
  return text === 'off' ? null : parseByteRate(text);
}

/** Returns one entry for a given weekday, or one for each day; null if invalid. */
function parseEntry(word: string): Entry[] | null {
  const [, day, hours, minutes, rate = ''] =
    /^(?:(sun|mon|tue|wed|thu|fri|sat)-)?([01]?\d|2[0-3]):([0-5]\d),(.+)$/i.exec(word) ?? [];
  const bytesPerSecond = parseRate(rate);
  if (bytesPerSecond === undefined) return null;
  const minute = Number(hours) * 60 + Number(minutes);
  const days =
    day === undefined ? WEEKDAYS.keys() : [WEEKDAYS.findIndex((name) => name === day.toLowerCase())];
  return Array.from(days, (at) => ({ minute: at * MINUTES_PER_DAY + minute, bytesPerSecond }));
}

function timeOf(minute: number): string {
  const day = WEEKDAYS[Math.floor(minute / MINUTES_PER_DAY) % (MINUTES_PER_WEEK / MINUTES_PER_DAY)];
  const ofDay = minute % MINUTES_PER_DAY;
  const two = (number: number): string => String(number).padStart(2, '0');
  return `${day} ${two(Math.floor(ofDay / 60))}:${two(ofDay % 60)}`;
}
