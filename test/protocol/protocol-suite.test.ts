import { after, before, describe } from 'node:test';
import { commandChecks } from './command-checks.ts';
import { floodChecks } from './flood-checks.ts';
import { frameChecks } from './frame-checks.ts';
import { patienceChecks } from './patience-checks.ts';
import { prepareChecks } from './prepare-checks.ts';
import { presignedUrlChecks } from './presigned-url-checks.ts';
import { reconnectChecks } from './reconnect-checks.ts';
import { sessionChecks } from './session-checks.ts';
import { type SuiteTarget, suiteTarget } from './suite-target.ts';
import { transferChecks } from './transfer-checks.ts';
import { upgradeChecks } from './upgrade-checks.ts';

// The slow checks wait in parallel with the others.
describe('backhaul.v1', { concurrency: 3 }, () => {
  let started: SuiteTarget | undefined;
  const target = (): SuiteTarget => {
    if (started === undefined) throw new Error('there is no server to test');
    return started;
  };
  before(async () => {
    started = await suiteTarget();
  });
  after(() => started?.[Symbol.asyncDispose]());

  patienceChecks(target);
  upgradeChecks(target);
  sessionChecks(target);
  frameChecks(target);
  prepareChecks(target);
  transferChecks(target);
  presignedUrlChecks(target);
  reconnectChecks(target);
  commandChecks(target);
  floodChecks(target);
});
