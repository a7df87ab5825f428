import type { PartUploadedInput } from './transfer-messages.ts';
import type { Link } from '../connection/link.ts';
import type { PartLedger } from './part-ledger.ts';

/** Keeps a frame below its limit even with ETags of 256 characters. */
const MAX_PARTS_PER_MESSAGE = 2000;

interface ProgressOptions {
  readonly ledger: PartLedger;
  readonly link: Pick<Link, 'connected' | 'congested' | 'send'>;
  readonly reportMs: number;
  readonly message: (parts: PartUploadedInput['parts']) => PartUploadedInput;
}

/** Tells the server which parts are stored: soon, but not for every part, and not into a socket that is full. */
export class Progress {
  readonly #options: ProgressOptions;
  readonly #timer: NodeJS.Timeout;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#timer = setInterval(() => {
      if (!options.link.congested) this.#sendOne();
    }, options.reportMs);
  }

  /** Says everything that has not been said yet. */
  flush(): void {
    while (this.#sendOne());
  }

  close(): void {
    clearInterval(this.#timer);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #sendOne(): boolean {
    const { ledger, link, message } = this.#options;
    if (!link.connected) return false;
    const parts = ledger.unreported(MAX_PARTS_PER_MESSAGE);
    if (parts.length === 0 || !link.send(message(parts))) return false;
    ledger.markReported(parts);
    return true;
  }
}
