import { proxyFor, ProxyVariableError, type ProxyVariables, readProxyVariables } from '@backhaul/program';
import type { JwtSource } from './config-types.ts';
import type { SettingProblem } from './config-error.ts';
import { type S3Settings, storeUrl } from '../s3/s3-settings.ts';
import type { SettingValues } from './settings.ts';

/** Proxy variables from any source of settings, read by the same rules as in all programs. */
export function proxyVariables({ HTTPS_PROXY, HTTP_PROXY, NO_PROXY }: SettingValues): ProxyVariables {
  return readProxyVariables({ HTTPS_PROXY, HTTP_PROXY, NO_PROXY });
}

/**
 * Reports an invalid proxy variable only if a request would use it, because machines set these variables for all
 * programs.
 */
export function checkProxies(
  { s3, jwt }: { s3: S3Settings; jwt: JwtSource | null },
  proxies: ProxyVariables,
  problems: SettingProblem[],
): void {
  for (const url of [storeUrl(s3), ...(jwt?.kind === 'jwks' ? [new URL(jwt.url)] : [])]) {
    try {
      proxyFor(url, proxies);
    } catch (error) {
      if (!(error instanceof ProxyVariableError)) throw error;
      const { variable, message } = error;
      if (problems.some(({ setting }) => setting === variable)) continue;
      problems.push({ setting: variable, message });
    }
  }
}
