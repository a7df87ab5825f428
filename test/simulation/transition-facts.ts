import type { UploadObserver } from '../../packages/server/src/domain/uploads/ledger.ts';
import type { Coverage } from './coverage.ts';

type Change = Parameters<UploadObserver>[0];

/** Derives facts from the transitions of uploads. */
export class TransitionFacts {
  readonly #coverage: Coverage;
  readonly #resumed = new Set<string>();

  constructor(coverage: Coverage) {
    this.#coverage = coverage;
  }

  onTransition({ before, after, transition }: Change): void {
    if (after.completedAt !== null && before.completedAt === null) {
      this.#coverage.countEnding(after.error === null ? after.status : `${after.status}, ${after.error}`);
      this.#coverage.count(
        after.status === 'completed' ? 'upload completed' : 'upload failed, cancelled or expired',
      );
    }
    switch (transition.type) {
      case 'start_over':
        if (transition.reason.includes('cannot resume')) {
          this.#coverage.count('restarted for an agent that cannot resume');
        }
        if (transition.reason.includes('keeps failing for the parts already sent')) {
          this.#coverage.count('parts given up with a healthy store');
        }
        if (before.onChange === 'restart' && transition.reason.includes('changed')) {
          this.#coverage.count('restarted by on_change');
        }
        return;
      case 'resumed':
        this.#resumed.add(after.uploadId);
        return;
      case 'prepare':
        if (after.s3UploadId !== null && this.#resumed.has(after.uploadId)) {
          this.#coverage.count('dispatched again after it was resumed');
        }
        return;
      case 'prepare_timeout':
        return this.#coverage.count('no response to prepare_upload in time');
      case 'cancel':
        return this.#coverage.count('cancelled');
      case 'cancel_completing':
        return this.#coverage.count('cancelled while completing');
      case 'verified':
        if (before.cancelRequestedBy !== null) this.#coverage.count('cancel came too late for a completion');
        return;
      case 'expire':
        return this.#coverage.count('expired');
      case 'retry':
        return this.#coverage.count('retried');
      default:
    }
  }
}
