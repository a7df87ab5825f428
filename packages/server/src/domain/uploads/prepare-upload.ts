import type { PrepareUpload, ResumeState, UploadLimits } from '@backhaul/protocol';
import { type UploadSettings, WINDOW_PARTS, planRule } from '../upload-settings.ts';
import type { StoredPart, Upload, UploadPart } from './upload.ts';

interface PrepareOptions {
  /** Parts of an earlier attempt that S3 has. */
  readonly stored: readonly StoredPart[];
  /** All recorded parts. */
  readonly known: readonly UploadPart[];
  readonly settings: UploadSettings;
  /** Null for an agent that does not support them. */
  readonly limits: UploadLimits | null;
}

/** The message that hands an upload to its agent, to start or to resume it. */
export function prepareUpload(
  upload: Upload,
  { stored, known, settings, limits }: PrepareOptions,
): PrepareUpload {
  if (upload.checksumMode === null) throw new Error('the upload is dispatched without a checksum mode');
  const resume = resumeState(upload, stored, known);
  return {
    action: 'prepare_upload',
    upload_id: upload.uploadId,
    attempt: upload.attempt,
    file_path: upload.filePath,
    plan: {
      min_chunk_size: planRule.minChunkSize,
      max_parts: planRule.maxParts,
      window_size: WINDOW_PARTS,
      ...(settings.maxFileSize === null ? {} : { max_file_size: settings.maxFileSize }),
    },
    checksum_mode: upload.checksumMode,
    on_change: upload.onChange,
    ...(limits === null ? {} : { limits }),
    ...(resume === undefined ? {} : { resume }),
    expires_in_ms: settings.prepareTimeoutMs,
  };
}

/** Undefined for an attempt that starts from scratch. */
function resumeState(
  { sizeBytes, fingerprint, s3UploadId, checksumMode }: Upload,
  stored: readonly StoredPart[],
  known: readonly UploadPart[],
): ResumeState | undefined {
  if (s3UploadId === null || sizeBytes === null || fingerprint === null) return undefined;
  const numbers = new Set(stored.map(({ partNumber }) => partNumber));
  return {
    size: sizeBytes,
    fingerprint,
    kept_parts: known
      .filter(({ partNumber }) => numbers.has(partNumber))
      .map(({ partNumber, crc32, sha256 }) => ({
        part_number: partNumber,
        crc32,
        // Only where it binds the part: ten thousand of them just fit into a frame.
        ...(checksumMode === 'sha256' && sha256 !== null ? { sha256 } : {}),
      })),
  };
}
