import type { PartUploadedInput } from './transfer-messages.ts';
import type { Link } from '../connection/link.ts';
import type { PartLedger } from './part-ledger.ts';

/** Keeps a frame below its size limit even with ETags of 256 characters. */
const MAX_PARTS_PER_MESSAGE = 2000;

interface ProgressDeps {
  readonly ledger: PartLedger;
  readonly link: Pick<Link, 'connected' | 'congested' | 'send'>;
  readonly reportMs: number;
  readonly message: (parts: PartUploadedInput['parts']) => PartUploadedInput;
}

/** Reports stored parts to the server, in batches, and not while the connection is congested. */
export class Progress {
  readonly #deps: ProgressDeps;
  readonly #timer: NodeJS.Timeout;

  constructor(deps: ProgressDeps) {
    this.#deps = deps;
    this.#timer = setInterval(() => {
      if (!deps.link.congested) this.#sendOne();
    }, deps.reportMs);
  }

  /** Sends all unsent reports. */
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
    const { ledger, link, message } = this.#deps;
    if (!link.connected) return false;
    const parts = ledger.unreported(MAX_PARTS_PER_MESSAGE);
    if (parts.length === 0 || !link.send(message(parts))) return false;
    ledger.markReported(parts);
    return true;
  }
}
