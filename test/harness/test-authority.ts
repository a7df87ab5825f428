import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import type { TemporaryDirectory } from './temporary-directory.ts';

const openssl = promisify(execFile);
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** A private certificate authority; its `NAME.crt` and `NAME.key` are in the test's directory. */
export class TestAuthority {
  readonly #directory: TemporaryDirectory;
  readonly #name: string;

  private constructor(directory: TemporaryDirectory, name: string) {
    this.#directory = directory;
    this.#name = name;
  }

  static async make(directory: TemporaryDirectory, name = 'ca'): Promise<TestAuthority> {
    const authority = new TestAuthority(directory, name);
    const files = ['-keyout', authority.#path(`${name}.key`), '-out', authority.certFile];
    await openssl('openssl', ['req', '-x509', ...newKey, '-days', '2', '-subj', `/CN=${name}`, ...files]);
    return authority;
  }

  get certFile(): string {
    return this.#path(`${this.#name}.crt`);
  }

  /** @param altName Names in openssl's syntax: `DNS:localhost,IP:127.0.0.1`. */
  async issue(
    name: string,
    subject: string,
    { altName, days = 2 }: { altName?: string; days?: number } = {},
  ): Promise<{ certFile: string; keyFile: string }> {
    const [certFile, keyFile, request] = [`${name}.crt`, `${name}.key`, `${name}.csr`].map((file) =>
      this.#path(file),
    ) as [string, string, string];
    await openssl('openssl', [
      'req',
      '-new',
      ...newKey,
      '-subj',
      subject,
      '-keyout',
      keyFile,
      '-out',
      request,
    ]);
    const extensions = this.#path(`${name}.ext`);
    writeFileSync(extensions, altName === undefined ? '' : `subjectAltName=${altName}\n`);
    const signer = ['-CA', this.certFile, '-CAkey', this.#path(`${this.#name}.key`), '-CAcreateserial'];
    await openssl('openssl', [
      ...[
        'x509',
        '-req',
        '-in',
        request,
        ...signer,
        '-days',
        String(days),
        '-extfile',
        extensions,
        '-out',
        certFile,
      ],
    ]);
    return { certFile, keyFile };
  }

  #path(file: string): string {
    return this.#directory.join(file);
  }
}
