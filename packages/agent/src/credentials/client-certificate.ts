import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import type { Log } from '../log.ts';

export interface ClientCertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface ClientCertificate {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** Client certificate for a server that requires one; re-read at each connection, like the token. */
export class ClientCertificateSource {
  readonly #files: ClientCertificateFiles;
  readonly #log: Log;
  #latest: ClientCertificate | null = null;

  constructor(files: ClientCertificateFiles, log: Log) {
    this.#files = files;
    this.#log = log;
  }

  /** Returns the newest valid pair. @throws Error that names the files, if there has been none so far. */
  async read(): Promise<ClientCertificate> {
    const { certFile, keyFile } = this.#files;
    try {
      const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
      createSecureContext({ cert, key });
      this.#latest = { cert, key };
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const problem = `--client-cert ${certFile} and --client-key ${keyFile} are not a certificate and its key: ${reason}`;
      if (this.#latest === null) throw new Error(problem, { cause });
      this.#log.error({ problem }, 'failed to reload the client certificate; the previous one stays in use');
    }
    return this.#latest;
  }
}
