import type { Selectable } from 'kysely';
import { uploadLimitsSchema } from '@backhaul/protocol';
import { z } from 'zod';
import type { Client } from '../domain/clients/client.ts';
import type { Schema, SessionsTable } from './schema.ts';

const capabilitiesSchema = z.array(z.string());
const labelsSchema = z.record(z.string(), z.string());

export type ClientRow = Selectable<Schema['clients']> &
  Pick<SessionsTable, 'epoch' | 'connectedSince' | 'tokenExpiresAt' | 'remoteAddress'> & {
    readonly blockedAt: number | null;
    readonly blockedBy: string | null;
    readonly blockReason: string | null;
  };

export function fromClientRow(row: ClientRow): Client {
  const { os, arch, hostname, capabilities, labels, limits, blockedAt, blockedBy, blockReason, ...rest } =
    row;
  return {
    ...rest,
    block: blockedAt === null || blockedBy === null ? null : { blockedAt, blockedBy, reason: blockReason },
    platform: { os, arch, hostname },
    capabilities: capabilitiesSchema.parse(JSON.parse(capabilities)),
    labels: labelsSchema.parse(JSON.parse(labels)),
    limits: limits === null ? null : uploadLimitsSchema.parse(JSON.parse(limits)),
  };
}
