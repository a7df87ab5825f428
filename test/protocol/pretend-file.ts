import { createHash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { PartAnnouncement } from '@backhaul/protocol';
import type { ServerMessageOf } from './agent-socket.ts';

const MIB = 1024 * 1024;

/** A file in memory only, cut and announced by the rules of the document. */
export class PretendFile {
  readonly name = 'pretended.bin';
  readonly path = `/pretended/${this.name}`;
  readonly bytes: Buffer;
  readonly #inode = String(randomBytes(6).readUIntBE(0, 6));

  constructor(sizeBytes: number) {
    this.bytes = randomBytes(sizeBytes);
  }

  get size(): number {
    return this.bytes.length;
  }

  /** Returns the `prepared` message by the plan rule. */
  prepared(
    request: ServerMessageOf<'prepare_upload'>,
  ): Record<string, unknown> & { parts: PartAnnouncement[] } {
    const { upload_id, attempt, plan } = request;
    const { chunkSize, partCount } = this.plan(plan);
    const window = Math.min(partCount, plan.window_size);
    return {
      status: 'prepared',
      upload_id,
      attempt,
      file_name: this.name,
      size: this.size,
      chunk_size: chunkSize,
      part_count: partCount,
      fingerprint: {
        device: '66306',
        inode: this.#inode,
        size: String(this.size),
        mtime_ns: '1761992400123456789',
        ctime_ns: '1761992400123456789',
      },
      source_modified_at: '2025-11-01T10:20:00.123Z',
      parts: Array.from({ length: window }, (_, index) => this.announce(index + 1, plan)),
    };
  }

  plan(rule: { min_chunk_size: number; max_parts: number }): { chunkSize: number; partCount: number } {
    const evenShare = Math.ceil(this.size / rule.max_parts);
    const chunkSize = Math.max(rule.min_chunk_size, Math.ceil(evenShare / MIB) * MIB);
    return { chunkSize, partCount: Math.max(1, Math.ceil(this.size / chunkSize)) };
  }

  part(partNumber: number, rule: { min_chunk_size: number; max_parts: number }): Buffer {
    const { chunkSize } = this.plan(rule);
    return this.bytes.subarray((partNumber - 1) * chunkSize, partNumber * chunkSize);
  }

  announce(partNumber: number, rule: { min_chunk_size: number; max_parts: number }): PartAnnouncement {
    const bytes = this.part(partNumber, rule);
    return { part_number: partNumber, size: bytes.length, ...checksums(bytes) };
  }
}

export function checksums(bytes: Buffer): { crc32: string; sha256: string; md5: string } {
  const crc = Buffer.alloc(4);
  crc.writeUInt32BE(crc32(bytes));
  return {
    crc32: crc.toString('base64'),
    sha256: createHash('sha256').update(bytes).digest('base64'),
    md5: createHash('md5').update(bytes).digest('base64'),
  };
}
