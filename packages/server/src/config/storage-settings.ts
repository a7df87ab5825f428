import {
  anyText,
  bucketName,
  credential,
  encryption,
  fileSize,
  keyPrefix,
  matching,
  oneOf,
  serviceAddress,
  type SettingRows,
  sqliteAddress,
  storageClass,
  trueOrFalse,
  wholeNumber,
} from './setting.ts';

export const objectStoreSettings = {
  S3_BUCKET_NAME: {
    schema: bucketName,
    unset: 'With --dev, the embedded object store is started.',
    required: 'without --dev, and with S3_ENDPOINT',
    secret: false,
    description: 'Bucket that files are uploaded to.',
    example: 'my-app-uploads',
  },
  AWS_REGION: {
    schema: matching(/^[a-z0-9-]{1,64}$/, 'must be the name of a region such as "eu-central-1"'),
    unset: '`us-east-1` with S3_ENDPOINT, which most compatible stores expect.',
    required: 'without S3_ENDPOINT',
    secret: false,
    description: 'Region of the bucket.',
    example: 'eu-central-1',
  },
  AWS_ACCESS_KEY_ID: {
    schema: credential,
    unset: 'The AWS SDK searches for credentials itself: shared files, container or instance role.',
    required: 'with S3_ENDPOINT',
    secret: true,
    description: 'Access key that signs requests and the URLs for agents.',
    example: 'AKIAIOSFODNN7EXAMPLE',
  },
  AWS_SECRET_ACCESS_KEY: {
    schema: credential,
    required: 'with AWS_ACCESS_KEY_ID',
    secret: true,
    description: 'Secret key of AWS_ACCESS_KEY_ID.',
    example: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  },
  AWS_SESSION_TOKEN: {
    schema: credential,
    secret: true,
    description:
      'Session token of a temporary AWS_ACCESS_KEY_ID. The server cannot renew such a key: prefer a role.',
    example: 'IQoJb3JpZ2luX2VjEXAMPLE',
  },
  S3_ENDPOINT: {
    schema: serviceAddress,
    unset: 'Amazon S3 in AWS_REGION.',
    secret: false,
    description: 'Address of an S3-compatible store, without the bucket’s name in host or path.',
    example: 'https://minio.internal:9000',
  },
  S3_PUBLIC_ENDPOINT: {
    schema: serviceAddress,
    unset: 'The same as S3_ENDPOINT.',
    secret: false,
    description:
      'Address at which agents and operators reach the store; presigned URLs use it. It must lead to the same store as S3_ENDPOINT, because the server relies on the checks that it probed there.',
    example: 'https://files.example.com',
  },
  S3_FORCE_PATH_STYLE: {
    schema: trueOrFalse,
    unset: '`true` with S3_ENDPOINT, otherwise `false`.',
    secret: false,
    description: 'Puts the bucket into the path of URLs instead of the host name.',
    example: 'true',
  },
  S3_KEY_PREFIX: {
    schema: keyPrefix,
    default: 'uploads',
    secret: false,
    description: 'Prefix of object keys, which are PREFIX/CLIENT_ID/UPLOAD_ID/FILE_NAME.',
    example: 'sites/emea',
  },
  S3_STORAGE_CLASS: {
    schema: storageClass,
    default: 'INTELLIGENT_TIERING',
    secret: false,
    description:
      'Storage class of new objects. The default is used if the store supports it. If you set a class that the store does not support, the server does not start. `none` requests no class.',
    example: 'STANDARD',
  },
  S3_SSE: {
    schema: encryption,
    default: 'AES256',
    secret: false,
    description:
      'Server-side encryption: `AES256`, `aws:kms`, `aws:kms:dsse` or `none`. The default is used if the store supports it. If you set a value that the store does not support, the server does not start.',
    example: 'aws:kms',
  },
  S3_CHECKSUM: {
    schema: oneOf(['auto', 'crc32', 'sha256', 'md5', 'none']),
    default: 'auto',
    secret: false,
    description:
      'Checksum that binds a presigned URL to the bytes of its part: `auto` probes the store and uses `crc32` or `md5`; `sha256` binds cryptographically; `none` binds only the length.',
    example: 'sha256',
  },
} as const satisfies SettingRows;

export const uploadSettings = {
  PRESIGN_EXPIRY_SECONDS: {
    schema: wholeNumber(1, 43_200),
    default: '900',
    secret: false,
    description:
      'Seconds for which a presigned URL is valid, 1 to 43200 (12 hours). Agents request new URLs, so slow uploads do not need a longer time.',
    example: '3600',
  },
  MAX_FILE_SIZE: {
    schema: fileSize,
    default: '5TiB',
    secret: false,
    description:
      'Maximum size of a file: bytes, or with a unit such as KiB, MiB, GiB, MB, GB. Larger files are refused. The default is the largest object of most S3-compatible stores; the maximum is 50000GiB.',
    example: '10GiB',
  },
  UPLOAD_PARALLEL_PARTS: {
    schema: wholeNumber(1, 64),
    unset: 'The limit of the agent.',
    secret: false,
    description:
      'Maximum number of parallel PUTs of one upload, unless its trigger or its client has another limit. The agent’s own `--parallel-parts` is always an upper limit.',
    example: '2',
  },
  UPLOAD_MAX_RATE: {
    schema: wholeNumber(1024, Number.MAX_SAFE_INTEGER),
    unset: 'The limit of the agent.',
    secret: false,
    description:
      'Maximum bytes per second of one upload, unless its trigger or its client has another limit. The agent’s own `--max-rate` is always an upper limit.',
    example: '2000000',
  },
} as const satisfies SettingRows;

export const stateSettings = {
  DATABASE_URL: {
    schema: sqliteAddress,
    unset: '`sqlite:backhaul.sqlite`, with --dev `sqlite:.backhaul/backhaul.sqlite`.',
    // A PostgreSQL address, which is refused so far, contains a password.
    secret: true,
    description:
      'Database of uploads and clients: sqlite:PATH, relative to the working directory. Its directory has to exist, on a local disk, not on a network file system.',
    example: 'sqlite:/var/lib/backhaul/backhaul.sqlite',
  },
  REDIS_URL: {
    schema: anyText.refine(
      () => false,
      'configures several nodes with Redis, which this version does not support; unset it',
    ),
    unset: 'One node.',
    secret: true,
    description: 'Reserved for several nodes; this version refuses to start with it.',
    example: 'redis://localhost:6379',
  },
  RETENTION_DAYS: {
    schema: wholeNumber(1, 36_500),
    default: '90',
    secret: false,
    description: 'Days after which ended uploads are removed from the database. Objects in the bucket stay.',
    example: '30',
  },
  AUDIT_RETENTION_DAYS: {
    schema: wholeNumber(1, 36_500),
    default: '365',
    secret: false,
    description: 'Audit events older than this many days are removed, independent of RETENTION_DAYS.',
    example: '730',
  },
  AUDIT_MAX_ROWS: {
    schema: wholeNumber(0, 1_000_000_000),
    default: '1000000',
    secret: false,
    description:
      'Maximum number of audit events, of about 500 bytes each. Once an hour the oldest beyond it are removed, with a warning in the log. Requests without a valid token get a tenth of it. 0 is no limit.',
    example: '10000000',
  },
  RETENTION_TRUST_CLOCK: {
    schema: trueOrFalse,
    default: 'false',
    secret: false,
    description:
      'Removes by RETENTION_DAYS and AUDIT_RETENTION_DAYS even if the clock may be wrong. By default, removal waits until the clock has been steady for a day after it was set by more than an hour, and after a start more than 7 days after the last removal.',
    example: 'true',
  },
  ORPHAN_AGE_SECONDS: {
    schema: wholeNumber(1, 31_536_000),
    default: '3600',
    secret: false,
    description:
      'Age in seconds at which a multipart upload of this server without a record is aborted (the server was killed while creating it, or parts arrived late). The bucket is searched at this interval, and at startup.',
    example: '86400',
  },
} as const satisfies SettingRows;
