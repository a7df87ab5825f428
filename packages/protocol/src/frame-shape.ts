import { type FrameLimits, MAX_FRAME_DEPTH, UNKNOWN_FRAME } from './frame-limits.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

const MAX_NAME_LENGTH = 64;

/**
 * Checks a frame before it is parsed, and returns the first problem: nested too deep, too large, or too many values for
 * its kind. Parsing and validating cost a hundred times as much as this pass. Invalid JSON is not detected.
 *
 * @returns null if the frame may be parsed.
 */
export function frameProblem(frame: string, { discriminator, kinds }: FrameLimits): string | null {
  let name = `a message with no known ${discriminator}`;
  let limit: typeof UNKNOWN_FRAME | null = null;
  let depth = 0;
  let commas = 0;
  for (let at = 0; at < frame.length; at += 1) {
    switch (frame.charCodeAt(at)) {
      case QUOTE: {
        const end = endOfText(frame, at);
        // The field may be at any position, and repeated: then the smaller limit applies.
        if (depth === 1 && end - at - 1 === discriminator.length && frame.startsWith(discriminator, at + 1)) {
          const kind = textAfterColon(frame, end + 1);
          const found = kind !== null && Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
          if (found !== undefined && (limit === null || found.characters < limit.characters)) {
            name = `${discriminator} "${kind}"`;
            limit = found;
            if (frame.length > limit.characters) return tooLarge(name, frame.length, limit);
          }
        }
        at = end;
        break;
      }
      case OPEN_LIST:
      case OPEN_OBJECT:
        depth += 1;
        if (depth > MAX_FRAME_DEPTH)
          return `the frame is refused: nested deeper than ${MAX_FRAME_DEPTH} levels`;
        break;
      case CLOSE_LIST:
      case CLOSE_OBJECT:
        depth -= 1;
        break;
      case COMMA:
        commas += 1;
        if (limit !== null && commas > limit.commas) return tooMany(name, limit);
        break;
    }
  }
  limit ??= UNKNOWN_FRAME;
  if (frame.length > limit.characters) return tooLarge(name, frame.length, limit);
  if (commas > limit.commas) return tooMany(name, limit);
  return null;
}

function tooLarge(name: string, characters: number, limit: typeof UNKNOWN_FRAME): string {
  return `${name} is refused: ${characters} characters, the limit is ${limit.characters}`;
}

function tooMany(name: string, limit: typeof UNKNOWN_FRAME): string {
  return `${name} is refused: it has more than ${limit.commas} values`;
}

/** @returns the index of the closing quote of the string that starts at `from`, or the end of the frame. */
function endOfText(frame: string, from: number): number {
  let at = from + 1;
  while (at < frame.length) {
    const code = frame.charCodeAt(at);
    if (code === QUOTE) return at;
    at += code === BACKSLASH ? 2 : 1;
  }
  return at;
}

/** @returns the short string after a field name and its colon. */
function textAfterColon(frame: string, from: number): string | null {
  let at = skipSpace(frame, from);
  if (frame.charCodeAt(at) !== COLON) return null;
  at = skipSpace(frame, at + 1);
  if (frame.charCodeAt(at) !== QUOTE) return null;
  const end = endOfText(frame, at);
  return end - at > MAX_NAME_LENGTH ? null : frame.slice(at + 1, end);
}

function skipSpace(frame: string, from: number): number {
  let at = from;
  while (at < frame.length && frame.charCodeAt(at) <= 0x20) at += 1;
  return at;
}
