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
export const UNKNOWN_FRAME: FrameLimit = { characters: 16 * 1024, commas: 1000 };

/** Maximum nesting. Messages of this protocol have at most five levels; unknown fields may be nested deeper. */
export const MAX_FRAME_DEPTH = 16 * 1024;

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
    health_check: SMALL,
    list_directory: SMALL,
    renew_token: SMALL,
    error: SMALL,
  },
};
