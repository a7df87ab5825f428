import { FileGate } from '../file/file-gate.ts';
import { createLog } from '../log.ts';
import { currentPlatform } from '../platform/current-platform.ts';

/** For tests that are not about it. */
export const gate = new FileGate({
  platform: currentPlatform(),
  poolThreads: 16,
  log: createLog({ level: 'silent', format: 'json', write: () => {} }),
});
