import type { UploadObserver } from '../uploads/upload-ledger.ts';
import type { Tally } from './tally.ts';

type Change = Parameters<UploadObserver>[0];

/** Reads facts off the transitions of uploads. */
export class TransitionFacts {
  readonly #tally: Tally;
  readonly #resumed = new Set<string>();

  constructor(tally: Tally) {
    this.#tally = tally;
  }

  saw({ before, after, transition }: Change): void {
    if (after.completedAt !== null && before.completedAt === null) {
      this.#tally.countEnding(after.error === null ? after.status : `${after.status}, ${after.error}`);
      this.#tally.count(
        after.status === 'completed' ? 'upload completed' : 'upload failed, cancelled or expired',
      );
    }
    switch (transition.type) {
      case 'start_over':
        if (transition.reason.includes('cannot resume')) {
          this.#tally.count('begun anew for an agent that cannot resume');
        }
        if (transition.reason.includes('keeps failing for what was sent')) {
          this.#tally.count('parts given up by a store that is well');
        }
        if (before.onChange === 'restart' && transition.reason.includes('changed')) {
          this.#tally.count('begun anew by on_change');
        }
        return;
      case 'resumed':
        this.#resumed.add(after.uploadId);
        return;
      case 'prepare':
        if (after.s3UploadId !== null && this.#resumed.has(after.uploadId)) {
          this.#tally.count('handed over again after it was resumed');
        }
        return;
      case 'prepare_timeout':
        return this.#tally.count('prepare_upload not answered in time');
      case 'cancel':
        return this.#tally.count('cancelled');
      case 'cancel_completing':
        return this.#tally.count('cancelled while completing');
      case 'verified':
        if (before.cancelRequestedBy !== null) this.#tally.count('cancel came too late for a completion');
        return;
      case 'expire':
        return this.#tally.count('expired');
      case 'retry':
        return this.#tally.count('retried');
      default:
    }
  }
}
