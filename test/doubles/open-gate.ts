import { FileGate } from '../../packages/agent/src/file/file-gate.ts';
import { createLog } from '../../packages/agent/src/log.ts';
import { currentPlatform } from '../../packages/agent/src/platform/current-platform.ts';

/** A file gate for tests of other modules. */
export const gate = new FileGate({
  platform: currentPlatform(),
  poolThreads: 16,
  log: createLog({ level: 'silent', format: 'json', write: () => {} }),
});
