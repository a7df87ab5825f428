import { crc32 } from 'node:zlib';
import { type Fingerprint, type PartPlan, partRange } from '@backhaul/protocol';

const MIB = 1024 * 1024;

/** A file's bytes: a unique number for each MiB, so that a mix of two versions is detectable. */
export type Content = readonly number[];

/** One state of one inode. */
export interface FileVersion {
  readonly inode: number;
  readonly content: Content;
  readonly mtime: number;
  readonly ctime: number;
}

export interface Inode {
  now: FileVersion;
}

/** A path on an agent's machine, with every version that ever existed. */
export class SimulatedFile {
  readonly path: string;
  readonly versions: FileVersion[] = [];
  #inode: Inode;
  #lastBlock = 0;
  #time = 1000;

  constructor(path: string, sizeMiB: number) {
    this.path = path;
    this.#inode = this.#create(sizeMiB);
  }

  /** The inode that a descriptor refers to, whatever replaces it at the path. */
  open(): Inode {
    return this.#inode;
  }

  get sizeMiB(): number {
    return this.#inode.now.content.length;
  }

  append(sizeMiB: number): void {
    this.#change({ content: [...this.#inode.now.content, ...this.#fresh(sizeMiB)] });
  }

  truncate(sizeMiB: number): void {
    this.#change({ content: this.#inode.now.content.slice(0, sizeMiB) });
  }

  /** In place and with the same size, by a program that restores the mtime. */
  rewrite(): void {
    const { content, mtime } = this.#inode.now;
    this.#change({ content: this.#fresh(content.length), mtime });
  }

  /** By rename, as editors do. Losing its name changes the ctime of the old inode. */
  replace(sizeMiB: number): void {
    this.#change({ mtime: this.#inode.now.mtime });
    this.#inode = this.#create(sizeMiB);
  }

  chmod(): void {
    this.#change({ mtime: this.#inode.now.mtime });
  }

  #create(sizeMiB: number): Inode {
    this.#time += 1;
    const [mtime, ctime] = [this.#time, this.#time];
    const inode = { now: { inode: this.#time, content: this.#fresh(sizeMiB), mtime, ctime } };
    this.versions.push(inode.now);
    return inode;
  }

  #change(change: Partial<Pick<FileVersion, 'content' | 'mtime'>>): void {
    this.#time += 1;
    this.#inode.now = { ...this.#inode.now, mtime: this.#time, ctime: this.#time, ...change };
    this.versions.push(this.#inode.now);
  }

  #fresh(sizeMiB: number): number[] {
    return Array.from({ length: sizeMiB }, () => (this.#lastBlock += 1));
  }
}

export function fingerprintOf({ inode, content, mtime, ctime }: FileVersion): Fingerprint {
  return {
    device: '1',
    inode: String(inode),
    size: String(content.length * MIB),
    mtime_ns: String(mtime),
    ctime_ns: String(ctime),
  };
}

export function sizeBytesOf(content: Content): number {
  return content.length * MIB;
}

/** Bytes of a part; fewer than planned if the file has shrunk. */
export function partOf(content: Content, plan: PartPlan, partNumber: number): Content {
  const { offset, length } = partRange(plan, partNumber);
  return content.slice(offset / MIB, (offset + length) / MIB);
}

/** Of the numbers that stand for the bytes, in S3's encoding. */
export function crc32Of(content: Content): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc32(content.join(' ')));
  return bytes.toString('base64');
}
