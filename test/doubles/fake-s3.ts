import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { crc32 } from 'node:zlib';
import { defaultTiming, type S3Timing } from '../../packages/server/src/s3/s3-connection.ts';
import type { S3Settings } from '../../packages/server/src/s3/s3-settings.ts';

/**
 * Features that this store supports; a real store is a combination of such habits. Unsupported headers are accepted
 * and ignored.
 */
export interface FakeHabits {
  crc32: boolean;
  sha256: boolean;
  md5: boolean;
  /** Stores and enforces a CRC32 of the whole object. */
  fullObjectCrc32: boolean;
  onlyIfAbsent: boolean;
  objectSize: boolean;
  /** `broken`: responds 500 to a Create with it. */
  sse: 'supported' | 'ignored' | 'refused' | 'broken';
  storageClass: 'supported' | 'ignored' | 'refused' | 'broken';
  /** Stores `x-amz-meta-*`. */
  metadata: boolean;
  /** What ListParts returns for a part in addition to its number and size. */
  listedParts: 'checksum' | 'etag' | 'twice' | 'other_etag' | 'same_etag' | 'nothing' | 'refused' | 'broken';
  /** PutObject without bytes; `without_checksum`: rejected with a CRC32. */
  emptyObjects: 'taken' | 'without_checksum' | 'refused' | 'broken';
  /** Enforces `If-None-Match: *` of PutObject. */
  putOnlyIfAbsent: boolean;
  /** Maximum request body; larger ones get 413, as from a proxy. */
  maxBodyBytes: number;
  versioned: boolean;
  deletesForbidden: boolean;
  /** Responds with an error to a Create that names a checksum algorithm. */
  checksumsRefused: boolean;
  /** With `BlockPublicAcls`, all writes are refused, as by Ceph 16. */
  publicAccessBlockBreaksWrites: boolean;
  /** Bucket settings that make every write fail with 500, e.g. `encryption`, as in SeaweedFS without a key. */
  failsWritesUnder: readonly string[];
  /** Bucket settings that are accepted but not stored, e.g. `lifecycle`. */
  forgets: readonly string[];
  /** Bucket settings rejected with NotImplemented. */
  lacks: readonly string[];
}

const exemplary: FakeHabits = {
  crc32: true,
  sha256: true,
  md5: true,
  fullObjectCrc32: true,
  onlyIfAbsent: true,
  objectSize: true,
  sse: 'supported',
  storageClass: 'supported',
  metadata: true,
  listedParts: 'checksum',
  emptyObjects: 'taken',
  putOnlyIfAbsent: true,
  maxBodyBytes: Number.POSITIVE_INFINITY,
  versioned: false,
  deletesForbidden: false,
  checksumsRefused: false,
  publicAccessBlockBreaksWrites: false,
  failsWritesUnder: [],
  forgets: [],
  lacks: [],
};

interface FakePart {
  readonly bytes: Buffer;
  readonly crc32: string | null;
  readonly etag: string;
}

interface FakeUpload {
  readonly key: string;
  readonly headers: Record<string, string>;
  readonly parts: Map<number, FakePart>;
  /** Earlier uploads of the same part number. */
  readonly replaced: Map<number, FakePart>;
}

interface FakeObject {
  readonly bytes: Buffer;
  readonly headers: Record<string, string>;
}

export interface FakeRequest {
  readonly method: string;
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** Returns true if it has responded (or never will). */
export type Intercept = (request: FakeRequest, response: ServerResponse) => boolean;

class S3Fault extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string) {
    super(code);
    this.status = status;
    this.code = code;
  }
}

/** An in-memory S3 with one bucket, for tests of differences between stores. Does not check signatures. */
export class FakeS3 {
  readonly habits: FakeHabits;
  readonly uploads = new Map<string, FakeUpload>();
  readonly objects = new Map<string, FakeObject[]>();
  /** Bucket settings as they were put, e.g. `lifecycle`. */
  readonly bucketSettings = new Map<string, string>();
  readonly requests: FakeRequest[] = [];
  bucketExists = true;
  intercept: Intercept = () => false;
  readonly #server: Server;

  private constructor(habits: Partial<FakeHabits>) {
    this.habits = { ...exemplary, ...habits };
    this.#server = createServer((request, response) => void this.#respond(request, response));
  }

  static async start(habits: Partial<FakeHabits> = {}): Promise<FakeS3> {
    const fake = new FakeS3(habits);
    fake.#server.listen(0, '127.0.0.1');
    await once(fake.#server, 'listening');
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  settings(changes: Partial<S3Settings> = {}): S3Settings {
    return {
      endpoint: this.url,
      region: 'us-east-1',
      bucket: 'bucket',
      keyPrefix: 'uploads',
      accessKeyId: 'key',
      secretAccessKey: 'secret',
      forcePathStyle: true,
      storageClass: { wanted: 'INTELLIGENT_TIERING', required: false },
      sse: { wanted: 'AES256', required: false },
      checksum: 'auto',
      presignExpirySeconds: 900,
      ...changes,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #respond(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of message) chunks.push(chunk as Buffer);
    const url = new URL(message.url ?? '/', this.url);
    const request: FakeRequest = {
      method: message.method ?? '',
      key: decodeURIComponent(url.pathname.split('/').slice(2).join('/')),
      query: url.searchParams,
      headers: message.headers,
      body: Buffer.concat(chunks),
    };
    this.requests.push(request);
    if (this.intercept(request, response)) return;
    if (request.body.length > this.habits.maxBodyBytes) {
      response.writeHead(413).end('<html>413 Request Entity Too Large</html>');
      return;
    }
    try {
      const { status = 200, headers = {}, body = '' } = this.#handle(request);
      response.writeHead(status, headers).end(body);
    } catch (fault) {
      if (!(fault instanceof S3Fault)) throw fault;
      response.writeHead(fault.status).end(errorXml(fault.code));
    }
  }

  #handle(request: FakeRequest): {
    status?: number;
    headers?: Record<string, string>;
    body?: string | Buffer;
  } {
    const { method, key, query } = request;
    if (key === '') return this.#handleBucket(request);
    if (!this.bucketExists) throw new S3Fault(404, 'NoSuchBucket');
    if (method === 'POST' && query.has('uploads')) return this.#create(request);
    if (query.has('uploadId')) {
      const id = query.get('uploadId') ?? '';
      const upload = this.uploads.get(id);
      if (upload === undefined) throw new S3Fault(404, 'NoSuchUpload');
      if (method === 'PUT') return this.#putPart(upload, request);
      if (method === 'POST') return this.#complete(id, upload, request);
      if (method === 'GET') return this.#listParts(id, upload, query);
      this.uploads.delete(id);
      return { status: 204 };
    }
    if (method === 'PUT') return this.#putObject(request);
    const object = this.objects.get(key)?.at(-1);
    if (method === 'DELETE') return this.#delete(key);
    if (object === undefined) throw new S3Fault(404, 'NoSuchKey');
    const headers = { ...object.headers, 'content-length': String(object.bytes.length), etag: '"object"' };
    return method === 'HEAD' ? { headers } : { headers, body: object.bytes };
  }

  #assertWritable(): void {
    const isOn = (name: string) => {
      const setting = this.bucketSettings.get(name);
      return setting !== undefined && !setting.includes('>Suspended<');
    };
    if (this.habits.failsWritesUnder.some(isOn)) throw new S3Fault(500, 'InternalError');
    const isBlocked = this.bucketSettings.get('publicAccessBlock')?.includes('<BlockPublicAcls>true');
    if (this.habits.publicAccessBlockBreaksWrites && isBlocked === true)
      throw new S3Fault(403, 'AccessDenied');
  }

  #create({ key, headers }: FakeRequest) {
    this.#assertWritable();
    const stored = this.#traits(headers);
    const id = randomUUID();
    this.uploads.set(id, { key, headers: stored, parts: new Map(), replaced: new Map() });
    return {
      body: `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`,
    };
  }

  #putObject({ key, headers, body }: FakeRequest) {
    this.#assertWritable();
    const { emptyObjects, versioned, putOnlyIfAbsent } = this.habits;
    const claimed = headers['x-amz-checksum-crc32'];
    if (emptyObjects === 'broken') throw new S3Fault(500, 'InternalError');
    if (emptyObjects === 'refused' || (emptyObjects === 'without_checksum' && claimed !== undefined))
      throw new S3Fault(400, 'InvalidRequest');
    if (putOnlyIfAbsent && headers['if-none-match'] === '*' && this.objects.has(key))
      throw new S3Fault(412, 'PreconditionFailed');
    const version: Record<string, string> = versioned ? { 'x-amz-version-id': randomUUID() } : {};
    const checksum: Record<string, string> =
      typeof claimed === 'string' ? { 'x-amz-checksum-crc32': crc32Base64(body) } : {};
    const object = { bytes: body, headers: { ...this.#traits(headers), ...version, ...checksum } };
    this.objects.set(key, [...(versioned ? (this.objects.get(key) ?? []) : []), object]);
    return { headers: version };
  }

  /** The traits that an object takes from the request that created it. */
  #traits(headers: FakeRequest['headers']): Record<string, string> {
    const stored: Record<string, string> = {};
    const keep = (name: string, habit: FakeHabits['sse'], code: string) => {
      const value = headers[name];
      if (typeof value !== 'string' || habit === 'ignored') return;
      if (habit === 'refused') throw new S3Fault(400, code);
      if (habit === 'broken') throw new S3Fault(500, 'InternalError');
      stored[name] = value;
    };
    keep('x-amz-server-side-encryption', this.habits.sse, 'InvalidEncryptionAlgorithmError');
    keep('x-amz-storage-class', this.habits.storageClass, 'InvalidStorageClass');
    keep('x-amz-meta-backhaul-token', this.habits.metadata ? 'supported' : 'ignored', '');
    keep(
      'x-amz-checksum-algorithm',
      this.habits.checksumsRefused ? 'refused' : 'supported',
      'NotImplemented',
    );
    keep('x-amz-checksum-type', 'supported', '');
    return stored;
  }

  #putPart(upload: FakeUpload, { query, headers, body }: FakeRequest) {
    this.#assertWritable();
    const claims: [boolean, string, string][] = [
      [this.habits.crc32, 'x-amz-checksum-crc32', crc32Base64(body)],
      [this.habits.sha256, 'x-amz-checksum-sha256', digest('sha256', body)],
      [this.habits.md5, 'content-md5', digest('md5', body)],
    ];
    for (const [isEnforced, name, right] of claims) {
      if (isEnforced && headers[name] !== undefined && headers[name] !== right)
        throw new S3Fault(400, 'BadDigest');
    }
    const claimed = headers['x-amz-checksum-crc32'];
    const stored = this.habits.crc32 && typeof claimed === 'string' ? claimed : null;
    // The ETag of encrypted parts, and of some stores, is not an MD5.
    const isMd5 = ['checksum', 'nothing'].includes(this.habits.listedParts);
    const unlike = this.habits.listedParts === 'same_etag' ? 'part' : randomUUID();
    const etag = `"${isMd5 ? createHash('md5').update(body).digest('hex') : unlike}"`;
    const number = Number(query.get('partNumber'));
    const before = upload.parts.get(number);
    if (before !== undefined) upload.replaced.set(number, before);
    upload.parts.set(number, { bytes: body, crc32: stored, etag });
    return { headers: { etag } };
  }

  #complete(id: string, upload: FakeUpload, { headers, body }: FakeRequest) {
    const { habits } = this;
    const numbers = [...body.toString().matchAll(/<PartNumber>(\d+)</g)].map(([, digits]) => Number(digits));
    const parts = numbers.map((number) => upload.parts.get(number));
    if (parts.length === 0) throw new S3Fault(400, 'MalformedXML');
    if (parts.includes(undefined)) throw new S3Fault(400, 'InvalidPart');
    const bytes = Buffer.concat(parts.flatMap((part) => (part === undefined ? [] : [part.bytes])));
    if (habits.onlyIfAbsent && headers['if-none-match'] === '*' && this.objects.has(upload.key)) {
      throw new S3Fault(412, 'PreconditionFailed');
    }
    const size = headers['x-amz-mp-object-size'];
    if (habits.objectSize && size !== undefined && size !== String(bytes.length)) {
      throw new S3Fault(400, 'InvalidRequest');
    }
    const isFull = habits.fullObjectCrc32 && upload.headers['x-amz-checksum-type'] === 'FULL_OBJECT';
    const claimed = headers['x-amz-checksum-crc32'];
    if (isFull && claimed !== undefined && claimed !== crc32Base64(bytes))
      throw new S3Fault(400, 'BadDigest');
    const version: Record<string, string> = habits.versioned ? { 'x-amz-version-id': randomUUID() } : {};
    const object = {
      bytes,
      headers: {
        ...upload.headers,
        ...version,
        ...(isFull && { 'x-amz-checksum-crc32': crc32Base64(bytes) }),
      },
    };
    this.objects.set(upload.key, [...(habits.versioned ? (this.objects.get(upload.key) ?? []) : []), object]);
    this.uploads.delete(id);
    return {
      headers: version,
      body: `<CompleteMultipartUploadResult><Key>${upload.key}</Key></CompleteMultipartUploadResult>`,
    };
  }

  #delete(key: string) {
    if (this.habits.deletesForbidden) throw new S3Fault(403, 'AccessDenied');
    const rest = this.objects.get(key)?.slice(0, -1) ?? [];
    if (rest.length === 0) this.objects.delete(key);
    else this.objects.set(key, rest);
    return { status: 204 };
  }

  #handleBucket({ method, query, body }: FakeRequest) {
    const setting = ['encryption', 'versioning', 'publicAccessBlock', 'lifecycle'].find((name) =>
      query.has(name),
    );
    if (method === 'PUT' && setting === undefined) {
      this.bucketExists = true;
      return {};
    }
    if (!this.bucketExists) throw new S3Fault(404, 'NoSuchBucket');
    if (query.has('uploads')) return this.#listUploads(query);
    if (setting === undefined) return { body: '<ListBucketResult></ListBucketResult>' };
    if (this.habits.lacks.includes(setting)) throw new S3Fault(501, 'NotImplemented');
    if (method === 'PUT') {
      if (!this.habits.forgets.includes(setting)) this.bucketSettings.set(setting, body.toString());
      return {};
    }
    if (method === 'DELETE') {
      this.bucketSettings.delete(setting);
      return { status: 204 };
    }
    const stored = this.bucketSettings.get(setting);
    if (stored !== undefined) return { body: stored };
    if (setting === 'versioning') return { body: '<VersioningConfiguration></VersioningConfiguration>' };
    throw new S3Fault(404, unsetCodes[setting] ?? 'NotFound');
  }

  #listParts(id: string, { parts, replaced }: FakeUpload, query: URLSearchParams) {
    const { listedParts } = this.habits;
    if (listedParts === 'refused') throw new S3Fault(403, 'AccessDenied');
    if (listedParts === 'broken') throw new S3Fault(500, 'InternalError');
    const marker = Number(query.get('part-number-marker') ?? 0);
    const shown = listedParts === 'nothing' ? [] : [...parts];
    // As SeaweedFS: the newest of a number first.
    if (listedParts === 'twice') shown.push(...replaced);
    const rest = shown.filter(([number]) => number > marker).sort(([a], [b]) => a - b);
    const page = rest.slice(0, PAGE);
    const entries = page.map(([number, part]) => {
      const etag = listedParts === 'other_etag' ? '"other"' : part.etag;
      const isShown = listedParts === 'checksum' && part.crc32 !== null;
      const checksum = isShown ? `<ChecksumCRC32>${part.crc32}</ChecksumCRC32>` : '';
      return `<Part><PartNumber>${number}</PartNumber><ETag>${etag}</ETag><Size>${part.bytes.length}</Size>${checksum}</Part>`;
    });
    const more = `<IsTruncated>${rest.length > PAGE}</IsTruncated><NextPartNumberMarker>${page.at(-1)?.[0] ?? 0}</NextPartNumberMarker>`;
    return {
      body: `<ListPartsResult><UploadId>${id}</UploadId>${more}${entries.join('')}</ListPartsResult>`,
    };
  }

  #listUploads(query: URLSearchParams) {
    const prefix = query.get('prefix') ?? '';
    const marker = query.get('key-marker') ?? '';
    const all = [...this.uploads]
      .filter(([, { key }]) => key.startsWith(prefix) && key > marker)
      .sort(([, a], [, b]) => (a.key < b.key ? -1 : 1));
    const page = all.slice(0, PAGE);
    const entries = page.map(
      ([id, { key }]) =>
        `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>2025-11-01T10:00:00.000Z</Initiated></Upload>`,
    );
    const last = page.at(-1);
    const next =
      all.length > PAGE && last !== undefined
        ? `<IsTruncated>true</IsTruncated><NextKeyMarker>${last[1].key}</NextKeyMarker><NextUploadIdMarker>${last[0]}</NextUploadIdMarker>`
        : '';
    return {
      body: `<ListMultipartUploadsResult><Bucket>bucket</Bucket>${next}${entries.join('')}</ListMultipartUploadsResult>`,
    };
  }
}

/** Page size of listings, small so that tests see several pages. */
const PAGE = 2;

const unsetCodes: Readonly<Record<string, string>> = {
  encryption: 'ServerSideEncryptionConfigurationNotFoundError',
  publicAccessBlock: 'NoSuchPublicAccessBlockConfiguration',
  lifecycle: 'NoSuchLifecycleConfiguration',
};

export function errorXml(code: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>said so</Message></Error>`;
}

export function crc32Base64(bytes: Uint8Array): string {
  const value = Buffer.alloc(4);
  value.writeUInt32BE(crc32(bytes));
  return value.toString('base64');
}

function digest(algorithm: 'sha256' | 'md5', bytes: Uint8Array): string {
  return createHash(algorithm).update(bytes).digest('base64');
}

/** Immediate retries, and timeouts that even a busy machine does not reach. Tests of timeouts set their own. */
export const quickTiming: S3Timing = {
  ...defaultTiming,
  calls: { maxAttempts: 3, attemptTimeoutMs: 10_000, deadlineMs: 30_000, baseDelayMs: 1, maxDelayMs: 5 },
  fullPartMs: 60_000,
};
