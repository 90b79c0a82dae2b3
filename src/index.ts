/** The library: what an importer may use. docs/library.md has an example of each part. */
export { background, withSignal, type Context } from './context.ts'
export { StaveError, hasCode, type ErrorCode, type Span } from './error.ts'
export type { Event } from './event.ts'

// Names and documents
export { digestOf, parseDigest, type Digest } from './oci/digest.ts'
export type { Descriptor, Platform } from './oci/descriptor.ts'
export type { ImageConfig } from './oci/config.ts'
export type { Index, Manifest } from './oci/manifest.ts'
export { parsePlatform, formatPlatform } from './oci/platform.ts'
export { parseReference, formatReference, type Reference } from './oci/reference.ts'

// Images, and the places where they are
export type { Bytes, Listed, Source, Target } from './image/content.ts'
export { copy, type CopyOptions } from './image/copy.ts'
export { edit, type ImageEdit } from './image/edit.ts'
export { openImage, type Image } from './image/image.ts'
export { memory } from './image/memory.ts'
export { createRegistryClient, openRegistry, type Registry, type RegistryClient, type RegistryOptions } from './registry/client/registry.ts'
export { givenCredentials, openCredentials, type Credentials } from './registry/login/credentials.ts'
export { openLayout, type Layout } from './layout/layout.ts'
export { openDirectory, createDirectory } from './layout/directory.ts'
export { openArchive } from './archive/open.ts'
export { createDockerArchive, createOciArchive, type ArchiveTarget } from './archive/create.ts'
export { openLocalStore } from './store/local.ts'
export type { LocalStore } from './store/open.ts'
export type { Store } from './store/store.ts'

// What makes them, and what serves them
export { build } from './builder/build.ts'
export { registryPlaces } from './places/registry.ts'
export type { BuildOptions, BuildResult, Output, Places } from './builder/options.ts'
export { serve, type RegistryServer, type ServeOptions } from './registry/server/server.ts'
export { collectGarbage, type CollectOptions, type Collected } from './registry/server/garbage.ts'
export { backup, type BackupOptions, type BackupReport, type BackupRoot } from './mirror/backup.ts'
export { readInventories, writeInventory, type Inventory } from './mirror/inventory.ts'
export { checkBackup, restore, type RestoreTarget } from './mirror/restore.ts'
