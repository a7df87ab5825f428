import type { BackhaulClient } from '@backhaul/client';
import { crc32Digest, readContent, sha256Digest } from '@backhaul/client/content';
import { BackhaulError, hasEnded, printable, type UploadRecord } from '@backhaul/protocol';
import { Option } from 'commander';
import { connect, type Context, defineCommand } from '../command.ts';
import { UploadFailedError } from '../errors.ts';
import { findUploadId, uploadIdArgument } from '../identifiers.ts';
import { exitCodes } from '../failure.ts';
import { openView } from '../progress/views.ts';
import {
  type Check,
  differences,
  isWorthReading,
  printChecks,
  printResult,
  reportOf,
} from '../verification-report.ts';

interface Options {
  readonly content?: boolean;
}

export const verify = defineCommand<readonly [uploadId: string], Options>({
  name: 'verify',
  summary: 'check that the stored object still matches its record',
  description:
    'Compares the stored object of a completed upload with the record of the upload. Exits with 0 if the object is ' +
    'intact, 7 if it is altered, 4 if it is missing. Only the metadata that the store reports is compared; with ' +
    '--content the whole object is read and compared, and nothing is saved.',
  arguments: [uploadIdArgument()],
  options: [new Option('--content', 'read the whole object and compare size, CRC32 and SHA-256')],
  examples: [
    'backhaul verify 019ab3c2-5f00-7000-8000-000000000001',
    'backhaul verify 019ab3c2-5f00-7000-8000-000000000001 --content',
    'backhaul verify 019ab3c2-5f00-7000-8000-000000000001 --json | jq -r .verdict',
  ],
  async run(context, { arguments: [idOrPrefix], options }) {
    const { output, signal } = context;
    const client = connect(context);
    const uploadId = await findUploadId(client, idOrPrefix, signal);
    const record = await client.getUpload(uploadId, { signal });
    if (!hasEnded(record)) throw new BackhaulError('upload_not_completed');
    if (record.status !== 'completed') throw new UploadFailedError(record);

    const found = await client.verifyUpload(uploadId, { signal });
    if (!output.json) printChecks(output, found.checks);
    let contentChecks: Check[] | undefined;
    if (options.content === true && found.verdict !== 'missing') {
      if (isWorthReading(found)) contentChecks = await compareContent(context, record, client);
      else output.remark('Skipped reading the content: token or size already differ.');
    }
    const report = reportOf(found, contentChecks);
    if (output.json) output.value(report);
    else {
      printChecks(output, contentChecks ?? [], 'content ');
      printResult(output, record, report);
    }
    switch (report.verdict) {
      case 'intact':
        return;
      case 'altered':
        throw new BackhaulError(
          'checksum_mismatch',
          `The object of upload ${uploadId} differs from its record: ${differences(report).join(', ')}.`,
        );
      case 'missing':
        throw new BackhaulError(
          'object_not_found',
          record.version_id === null
            ? `The object of upload ${uploadId} is no longer at its key.`
            : `The object of upload ${uploadId} is no longer in the bucket: neither its key nor its recorded version ${record.version_id} exists.`,
        );
      default:
        output.remark(
          `This version does not know the verdict ${printable(report.verdict)}: update backhaul.`,
        );
        return exitCodes.fault;
    }
  },
});

/**
 * Reads the whole object without storing it, and compares it with size and checksums in the record.
 *
 * @throws BackhaulError `checksum_mismatch` if the store sends more or fewer bytes than its HEAD reports; other errors
 *   if it cannot be read.
 */
async function compareContent(
  context: Context,
  record: UploadRecord,
  client: BackhaulClient,
): Promise<Check[]> {
  const { checksum } = record;
  const recordedCrc32 = checksum?.algorithm === 'crc32' ? checksum.value : null;
  const crc32 = crc32Digest();
  // Agents can be configured to skip SHA-256; then there is nothing to compare with.
  const sha256 = record.sha256 === null ? undefined : sha256Digest();
  let received = 0;
  const compareChunk = async (chunk: Uint8Array): Promise<void> => {
    crc32.update(chunk);
    sha256?.update(chunk);
    received += chunk.length;
  };
  const view = openView(context, false);
  try {
    await readContent(client, record, compareChunk, {
      signal: context.signal,
      onProgress: (done, total) => view.showFetching({ purpose: 'checking', done, total }),
    });
  } finally {
    view.close();
  }
  return [
    compare('size', String(record.size ?? 0), String(received)),
    compare('crc32', recordedCrc32, crc32.value()),
    compare('sha256', record.sha256, sha256?.value() ?? null),
  ];
}

function compare(name: string, expected: string | null, found: string | null): Check {
  return { name, ok: expected === null || found === null ? null : expected === found, expected, found };
}
