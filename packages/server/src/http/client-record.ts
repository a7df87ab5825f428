import type { ClientBlock, clientStatusSchema, ClientSummary } from '@backhaul/protocol';
import type { z } from 'zod';
import type { Client, ClientBlock as Block } from '../domain/agents/client.ts';
import type { Services } from './services.ts';
import { describeUpload, describeUploads, isoTime } from './upload-record.ts';

export function toClientBlock({ blockedAt, blockedBy, reason }: Block): ClientBlock {
  return { blocked_at: new Date(blockedAt).toISOString(), blocked_by: blockedBy, reason };
}

export function toClientSummary(client: Client): ClientSummary {
  return {
    client_id: client.clientId,
    connected: client.connectedSince !== null,
    connected_since: isoTime(client.connectedSince),
    // The socket is monitored; only the end of a session is stored.
    last_seen_at: isoTime(client.connectedSince === null ? client.lastSeenAt : Date.now()),
    remote_address: client.remoteAddress,
    token_expires_at: isoTime(client.tokenExpiresAt),
    agent_version: client.agentVersion,
    platform: client.platform,
    labels: { ...client.labels },
    blocked: client.block === null ? null : toClientBlock(client.block),
    default_file_path: client.defaultFilePath,
    limits: client.limits,
  };
}

export async function describeClient(
  services: Pick<Services, 'clients' | 'progress'>,
  clientId: string,
): Promise<z.infer<typeof clientStatusSchema>> {
  const { client, activeUploads, activeCount, lastUpload, duplicateConnections } =
    await services.clients.status(clientId);
  return {
    ...toClientSummary(client),
    active_uploads: await describeUploads(services, activeUploads),
    active_upload_count: activeCount,
    duplicate_connections: duplicateConnections,
    last_upload: lastUpload === undefined ? null : await describeUpload(services, lastUpload),
  };
}
