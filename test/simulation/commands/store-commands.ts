import fc from 'fast-check';
import type { Upload } from '../../../packages/server/src/domain/uploads/upload.ts';
import type { Operation } from '../object-store/s3-requests.ts';
import type { Simulation } from '../simulation.ts';
import { type SimulationCommand, command, drawn, pick } from './command.ts';

const operations: Operation[] = ['create', 'complete', 'listParts', 'abort', 'head', 'delete', 'ping'];

export const storeFaults: readonly fc.Arbitrary<SimulationCommand>[] = [
  command(
    'the store fails next',
    fc.record({
      operation: fc.constantFrom(...operations, 'complete' as const, 'complete' as const),
      fault: fc.constantFrom('before' as const, 'after' as const),
    }),
    { act: ({ s3 }, { operation, fault }) => s3.requests.failNext(operation, fault) },
  ),
  command('the store is unavailable', fc.constantFrom(true, false, false), {
    act({ s3 }, isAway) {
      s3.requests.isDown = isAway;
    },
  }),
  command('the store is slow', fc.boolean(), {
    act({ s3 }, isSlow) {
      s3.requests.isSlow = isSlow;
    },
  }),
  command('a connection to the store breaks', drawn, {
    can: ({ s3 }) => s3.requests.waiting.length > 0,
    act({ s3 }, drawn) {
      const request = pick(s3.requests.waiting, drawn);
      if (request !== undefined) s3.requests.fail(request);
    },
  }),
  command('a multipart upload vanishes', drawn, {
    can: ({ s3 }) => s3.state.uploads.size > 0,
    act({ s3, coverage }, drawn) {
      const upload = pick([...s3.state.uploads.values()], drawn);
      if (upload === undefined) return;
      s3.state.vanish(upload.s3UploadId);
      coverage.count('multipart upload vanished');
    },
  }),
  command('a multipart upload breaks in the store', drawn, {
    can: ({ s3 }) => s3.state.uploads.size > 0,
    act({ s3 }, drawn) {
      const upload = pick([...s3.state.uploads.values()], drawn);
      if (upload !== undefined) s3.state.broken.add(upload.s3UploadId);
    },
  }),
  command('a stored part rots', drawn, {
    can: ({ s3 }) => s3.state.storedParts.length > 0,
    act: rotPart,
  }),
  command('a foreign object is put at the key', fc.tuple(drawn, fc.boolean()), {
    can: ({ operators }) => operators.uploads.some(isUploading),
    act({ s3, operators, agents, coverage }, [drawn, isCopy]) {
      const upload = pick(operators.uploads.filter(isUploading), drawn);
      if (upload === undefined || s3.state.objects.has(upload.key)) return;
      const machine = agents.find(({ clientId }) => clientId === upload.clientId);
      const file = machine?.files.find(({ path }) => path === upload.filePath);
      s3.state.putForeign(upload.key, isCopy ? (file?.open().now.content ?? []) : []);
      coverage.count('foreign object put at the key');
    },
  }),
];

function isUploading({ status }: Upload): boolean {
  return status === 'uploading';
}

/** A bad disk. */
export function rotPart({ s3, coverage }: Simulation, drawn: number): void {
  // Otherwise nothing detects it.
  if (!s3.supports.fullObjectChecksum) return;
  const part = pick(s3.state.storedParts, drawn);
  if (part === undefined || part.content.length === 0) return;
  part.content = part.content.map((block) => -block);
  coverage.count('stored part rotted');
}

export const putFaults: readonly fc.Arbitrary<SimulationCommand>[] = (
  ['break', 'arriveUnacknowledged', 'arrive'] as const
).map((how) =>
  command(`a PUT ends: ${how}`, drawn, {
    can: ({ puts }) => puts.inFlight.length > 0,
    act({ puts }, drawn) {
      const put = pick(puts.inFlight, drawn);
      if (put !== undefined) puts.end(put, how);
    },
  }),
);
