import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type SecureContextOptions, type Server, createSecureContext } from 'node:tls';
import { FileWatch, readCertificates } from '@backhaul/program';
import type { Log } from '../domain/ports/log.ts';

export interface TlsCertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** CAs that must have signed agents' certificates. */
  readonly clientCaFile: string | null;
}

/** A problem with the files; the message names them. */
export class TlsFilesError extends Error {
  override readonly name = 'TlsFilesError';
}

/** @throws TlsFilesError unless the files make a usable server context. */
export function readTlsContext({
  certFile,
  keyFile,
  clientCaFile,
}: TlsCertificateFiles): SecureContextOptions {
  const context = {
    cert: readPem(certFile),
    key: readPem(keyFile),
    ...(clientCaFile === null ? {} : { ca: readPem(clientCaFile) }),
  };
  requireWhole(`TLS_CERT_FILE ${certFile}`, context.cert);
  if (context.ca !== undefined) requireWhole(`TLS_CLIENT_CA_FILE ${clientCaFile}`, context.ca);
  try {
    createSecureContext(context);
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new TlsFilesError(
      `TLS_CERT_FILE ${certFile} and TLS_KEY_FILE ${keyFile} are not a certificate and its key: ${problem}.`,
      { cause },
    );
  }
  return context;
}

/** @throws TlsFilesError */
function requireWhole(subject: string, pem: Buffer): void {
  const result = readCertificates(pem.toString());
  if ('problem' in result) throw new TlsFilesError(`${subject} ${result.problem}.`);
}

interface TlsReloadOptions {
  readonly server: Server;
  readonly files: TlsCertificateFiles;
  readonly log: Log;
  /** Interval between two checks of the files. */
  readonly intervalMs?: number;
}

/** Gives new connections the certificates currently in the files. Open connections keep theirs. */
export class TlsReload implements Disposable {
  readonly #options: TlsReloadOptions;
  readonly #watch: FileWatch;

  constructor(options: TlsReloadOptions) {
    this.#options = options;
    const { certFile, keyFile, clientCaFile } = options.files;
    const paths = [certFile, keyFile, ...(clientCaFile === null ? [] : [clientCaFile])];
    const pace = options.intervalMs === undefined ? {} : { intervalMs: options.intervalMs };
    this.#watch = new FileWatch(paths, { onChange: () => this.reload(), ...pace });
  }

  /** Unusable files leave everything unchanged. */
  reload(): void {
    const { server, files, log } = this.#options;
    try {
      const context = readTlsContext(files);
      // Node.js creates new session ticket keys with it: no session outlives the CAs that it was checked against.
      server.setSecureContext(context);
      const { subject, validTo } = new X509Certificate(context.cert as Buffer);
      log.info(
        { certificate: subject, certificate_expires_at: new Date(validTo).toISOString() },
        'TLS certificates reloaded',
      );
    } catch (error) {
      if (!(error instanceof TlsFilesError)) throw error;
      log.error({ problem: error.message }, 'TLS certificates not reloaded; the previous ones stay in use');
    }
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
  }
}

function readPem(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown';
    throw new TlsFilesError(`${path} cannot be read: ${code}.`, { cause });
  }
}
