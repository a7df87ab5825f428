import { FileGate } from '../file/file-gate.ts';
import { createLog } from '../log.ts';
import { currentPlatform } from '../platform/current-platform.ts';

/** A file gate for tests of other modules. */
export const gate = new FileGate({
  platform: currentPlatform(),
  poolThreads: 16,
  log: createLog({ level: 'silent', format: 'json', write: () => {} }),
});
