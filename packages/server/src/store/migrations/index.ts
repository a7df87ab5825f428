import type { Migration } from 'kysely/migration';
import * as initial from './0001-initial.ts';
import * as resume from './0002-resume.ts';
import * as uploadKeys from './0003-upload-keys.ts';
import * as changeOrder from './0004-change-order.ts';
import * as clockRecord from './0005-clock-record.ts';
import * as firstTimes from './0006-first-times.ts';
import * as patience from './0007-patience.ts';
import * as tokenExpiry from './0008-token-expiry.ts';
import * as blockedClients from './0009-blocked-clients.ts';
import * as remoteAddress from './0010-remote-address.ts';
import * as uploadLimits from './0011-upload-limits.ts';
import * as uploadHosts from './0012-upload-hosts.ts';
import * as renewedTokens from './0013-renewed-tokens.ts';
import * as auditOutcome from './0014-audit-outcome.ts';

/** In sequence. A released migration is never edited; a change is a new one. */
export const migrations: Record<string, Migration> = {
  '0001-initial': initial,
  '0002-resume': resume,
  '0003-upload-keys': uploadKeys,
  '0004-change-order': changeOrder,
  '0005-clock-record': clockRecord,
  '0006-first-times': firstTimes,
  '0007-patience': patience,
  '0008-token-expiry': tokenExpiry,
  '0009-blocked-clients': blockedClients,
  '0010-remote-address': remoteAddress,
  '0011-upload-limits': uploadLimits,
  '0012-upload-hosts': uploadHosts,
  '0013-renewed-tokens': renewedTokens,
  '0014-audit-outcome': auditOutcome,
};
