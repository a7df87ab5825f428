import fc from 'fast-check';
import type { Upload } from '../../uploads/upload.ts';
import type { Operation } from '../object-store/s3-requests.ts';
import type { World } from '../world.ts';
import { type WorldCommand, command, drawn, pick } from './command.ts';

const operations: Operation[] = ['create', 'complete', 'listParts', 'abort', 'head', 'delete', 'ping'];

export const storeFaults: readonly fc.Arbitrary<WorldCommand>[] = [
  command(
    'the store fails next',
    fc.record({
      operation: fc.constantFrom(...operations, 'complete' as const, 'complete' as const),
      fault: fc.constantFrom('before' as const, 'after' as const),
    }),
    { act: ({ s3 }, { operation, fault }) => s3.requests.failNext(operation, fault) },
  ),
  command('the store is away', fc.constantFrom(true, false, false), {
    act({ s3 }, isAway) {
      s3.requests.isDown = isAway;
    },
  }),
  command('the store is slow', fc.boolean(), {
    act({ s3 }, isSlow) {
      s3.requests.isSlow = isSlow;
    },
  }),
  command('a line to the store breaks', drawn, {
    can: ({ s3 }) => s3.requests.waiting.length > 0,
    act({ s3 }, drawn) {
      const request = pick(s3.requests.waiting, drawn);
      if (request !== undefined) s3.requests.fail(request);
    },
  }),
  command('a multipart upload vanishes', drawn, {
    can: ({ s3 }) => s3.state.uploads.size > 0,
    act({ s3, tally }, drawn) {
      const upload = pick([...s3.state.uploads.values()], drawn);
      if (upload === undefined) return;
      s3.state.vanish(upload.s3UploadId);
      tally.count('multipart upload vanished');
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
  command('somebody else puts an object at the key', fc.tuple(drawn, fc.boolean()), {
    can: ({ desk }) => desk.uploads.some(isUploading),
    act({ s3, desk, agents, tally }, [drawn, isCopy]) {
      const upload = pick(desk.uploads.filter(isUploading), drawn);
      if (upload === undefined || s3.state.objects.has(upload.key)) return;
      const machine = agents.find(({ clientId }) => clientId === upload.clientId);
      const file = machine?.files.find(({ path }) => path === upload.filePath);
      s3.state.putForeign(upload.key, isCopy ? (file?.open().now.content ?? []) : []);
      tally.count('object of somebody else put at the key');
    },
  }),
];

function isUploading({ status }: Upload): boolean {
  return status === 'uploading';
}

/** A bad disk. */
export function rotPart({ s3, tally }: World, drawn: number): void {
  // Nobody else notices.
  if (!s3.honours.fullObjectChecksum) return;
  const part = pick(s3.state.storedParts, drawn);
  if (part === undefined || part.content.length === 0) return;
  part.content = part.content.map((block) => -block);
  tally.count('stored part rotted');
}

export const putFaults: readonly fc.Arbitrary<WorldCommand>[] = (
  ['break', 'arriveUnheard', 'arrive'] as const
).map((how) =>
  command(`a PUT comes to ${how}`, drawn, {
    can: ({ puts }) => puts.underWay.length > 0,
    act({ puts }, drawn) {
      const put = pick(puts.underWay, drawn);
      if (put !== undefined) puts.end(put, how);
    },
  }),
);
