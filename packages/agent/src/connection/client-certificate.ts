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

/** What the agent shows a server that asks for a certificate; read again at each connection, like the token. */
export class ClientCertificateSource {
  readonly #files: ClientCertificateFiles;
  readonly #log: Log;
  #latest: ClientCertificate | null = null;

  constructor(files: ClientCertificateFiles, log: Log) {
    this.#files = files;
    this.#log = log;
  }

  /** The newest pair that could be used. @throws Error that names the files, if there was none so far. */
  async read(): Promise<ClientCertificate> {
    const { certFile, keyFile } = this.#files;
    try {
      const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
      createSecureContext({ cert, key });
      this.#latest = { cert, key };
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      const problem = `--client-cert ${certFile} and --client-key ${keyFile} are not a certificate and its key: ${why}`;
      if (this.#latest === null) throw new Error(problem, { cause });
      this.#log.error({ problem }, 'client certificate not reloaded; the previous one stays in use');
    }
    return this.#latest;
  }
}
