import { commandNames } from './commands.ts';

/** Size limit of one kind of message, far above the size of any valid message. */
interface FrameLimit {
  /** Maximum UTF-16 units of the JSON. */
  readonly characters: number;
  /** Maximum commas, including those in unknown fields: every value of a list or object except the first has one. */
  readonly commas: number;
}

export interface FrameLimits {
  readonly discriminator: 'status' | 'action';
  readonly kinds: Readonly<Record<string, FrameLimit>>;
}

/** A few fields with texts of at most 4,096 characters, each of which may take six in JSON. */
const SMALL: FrameLimit = { characters: 48 * 1024, commas: 100 };
/** Parts of one window with their checksums. */
const WINDOW: FrameLimit = { characters: 64 * 1024, commas: 1000 };
/** Ten thousand parts, or five thousand entries of a directory. */
const LARGE: FrameLimit = { characters: 1024 * 1024, commas: 50_000 };

/** Limit of unknown messages. */
const UNKNOWN_FRAME: FrameLimit = { characters: 16 * 1024, commas: 1000 };

/** Maximum nesting. Messages of this protocol have at most five levels; unknown fields may be nested deeper. */
const MAX_FRAME_DEPTH = 16 * 1024;

export const agentFrameLimits: FrameLimits = {
  discriminator: 'status',
  kinds: {
    // 32 labels, 64 capabilities, 64 running uploads, a path.
    hello: { characters: 128 * 1024, commas: 1000 },
    prepared: WINDOW,
    resumed: SMALL,
    parts_ready: WINDOW,
    part_uploaded: LARGE,
    stalled: SMALL,
    progress: SMALL,
    completed: LARGE,
    failed: SMALL,
    command_progress: SMALL,
    result: LARGE,
    token_stored: SMALL,
    error: SMALL,
  },
};

export const serverFrameLimits: FrameLimits = {
  discriminator: 'action',
  kinds: {
    // A thousand uploads.
    welcome: { characters: 256 * 1024, commas: 5000 },
    prepare_upload: LARGE,
    // 64 URLs of at most 16,384 characters, each with 16 headers.
    download_file: { characters: 1024 * 1024, commas: 2000 },
    part_urls: { characters: 1024 * 1024, commas: 2000 },
    cancel_upload: SMALL,
    ...Object.fromEntries(commandNames.map((name) => [name, SMALL])),
    cancel_command: SMALL,
    renew_token: SMALL,
    error: SMALL,
  },
};

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
  let limit: FrameLimit | null = null;
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

function tooLarge(name: string, characters: number, limit: FrameLimit): string {
  return `${name} is refused: ${characters} characters, the limit is ${limit.characters}`;
}

function tooMany(name: string, limit: FrameLimit): string {
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
