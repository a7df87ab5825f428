import type { CommandRunner } from './commands/command-runner.ts';
import type { Bucket } from './ports/bucket.ts';
import type { Clock } from './ports/clock.ts';
import type { Log } from './ports/log.ts';
import type { Store } from './ports/store.ts';
import type { SessionRegistry } from './sessions/session-registry.ts';
import type { SharedTokens } from './sessions/shared-tokens.ts';
import type { TokenRenewal } from './sessions/token-renewal.ts';
import type { UploadSettings } from './upload-settings.ts';
import type { AttemptRecovery } from './uploads/attempt-recovery.ts';
import type { Completion } from './uploads/completion.ts';
import type { Dispatcher } from './uploads/dispatcher.ts';
import type { LiveProgress } from './uploads/live-progress.ts';
import type { UploadEnding } from './uploads/upload-ending.ts';
import type { UploadLedger } from './uploads/upload-ledger.ts';

/** Dependencies of the handlers of agents' messages. */
export interface TransferContext {
  readonly store: Store;
  readonly bucket: Bucket;
  readonly clock: Clock;
  readonly log: Log;
  readonly settings: UploadSettings;
  readonly sessions: SessionRegistry;
  readonly sharedTokens: SharedTokens;
  readonly renewal: TokenRenewal;
  readonly ledger: UploadLedger;
  readonly dispatcher: Dispatcher;
  readonly ending: UploadEnding;
  readonly recovery: AttemptRecovery;
  readonly completion: Completion;
  readonly commands: CommandRunner;
  readonly progress: LiveProgress;
}
