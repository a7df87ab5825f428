import { type ChangePolicy, type Fingerprint, type PartPlan, versionDifferences } from '@backhaul/protocol';
import {
  type Content,
  type FileVersion,
  type Inode,
  type SimulatedFile,
  crc32Of,
  fingerprintOf,
  partOf,
} from './simulated-file.ts';

/** A descriptor, and the version of the file when it was opened. */
export class OpenedFile {
  readonly path: string;
  readonly version: FileVersion;
  readonly fingerprint: Fingerprint;
  readonly #inode: Inode;
  readonly #policy: ChangePolicy;

  constructor(file: SimulatedFile, policy: ChangePolicy) {
    this.path = file.path;
    this.#inode = file.open();
    this.#policy = policy;
    this.version = this.#inode.now;
    this.fingerprint = fingerprintOf(this.version);
  }

  /** Only reading the bytes can decide then. */
  get hasCtimeMoved(): boolean {
    return this.#inode.now.ctime !== this.version.ctime;
  }

  get hasGrown(): boolean {
    return this.#inode.now.content.length > this.version.content.length;
  }

  /** Whether it is another version by now. */
  differsFrom(fingerprint: Fingerprint): boolean {
    return versionDifferences(fingerprint, fingerprintOf(this.#inode.now), this.#policy).length > 0;
  }

  read(plan: PartPlan, partNumber: number): Content {
    return partOf(this.#inode.now.content, plan, partNumber);
  }

  hash(plan: PartPlan, partNumber: number): string {
    return crc32Of(this.read(plan, partNumber));
  }
}
