"""Every error this package raises on purpose. Each message says what to do next.

What stands behind a name is of its kind:

    SearchError: InvalidInput, ReaderFailed, MissingExtra, ModelError, IndexFailure, SearcherClosed, ServiceError
    InvalidInput: InvalidSettings, InvalidQuery, InvalidDocument, DocumentNotFound, TenantRequired, CollectionUnshared,
        UnsupportedFilter, InvalidDataset
    ModelError: ModelNotFound, ModelIncomplete, ModelCorrupt, ModelUnavailable, UnsupportedModel, ExportFailed, SelfTestFailed,
        RuntimeConflict, DeviceUnavailable, InferenceFailed
    IndexFailure: IndexBusy, IndexMismatch, IndexCorrupt, IndexHindered, ReindexRefused, IndexFull, DocumentIncomplete,
        CollectionNotFound, IndexUnreachable, IndexTimeout, IndexDenied, IndexOverloaded, IndexFaulted, IndexRejected,
        IndexGarbled
    ServiceError: ServiceUnreachable, ServiceOverloaded, ServiceRefused
    IndexMismatch: CollectionForeign
    InferenceFailed: OutOfMemory
"""


class SearchError(Exception):
    """The root: catch this to catch everything below."""


class InvalidInput(SearchError):
    """The caller's input cannot be used; nothing was changed."""


class InvalidSettings(InvalidInput):
    """A setting, an environment variable or search.toml has an unknown name, or a value out of range."""


class InvalidQuery(InvalidInput):
    """A query is empty, or another argument is out of range, such as limit or depth."""


class InvalidDocument(InvalidInput):
    """A document has no id or text, or metadata that JSON cannot hold."""


class DocumentNotFound(InvalidInput):
    """A collection holds no document of this id."""


class TenantRequired(InvalidInput):
    """A collection is shared by tenants, and none was named, or another one than this is for."""


class CollectionUnshared(InvalidInput):
    """A collection does not note that tenants share it, so that nothing is written into it for one of them."""


class UnsupportedFilter(InvalidInput):
    """A filter names an unknown field, tests nothing somewhere, or asks what does not mean the same on every engine."""


class InvalidDataset(InvalidInput):
    """The folder of an evaluation data set lacks a file or contradicts itself."""


class ReaderFailed(SearchError):
    """No process can be started to read files in, or the program was forked while one was being read."""


class MissingExtra(SearchError):
    """A feature needs a library that only an extra of this package installs."""


class ModelError(SearchError):
    """A model cannot be found, loaded or run."""


class ModelNotFound(ModelError):
    """The name is neither a bundled model, nor a folder, nor one FastEmbed serves."""


class ModelIncomplete(ModelError):
    """A model folder lacks a file, or a file in it cannot be understood."""


class ModelCorrupt(ModelError):
    """A model file differs from its recorded sha256, or ONNX Runtime cannot load it."""


class ModelUnavailable(ModelError):
    """A model that is named is not on this machine and could not be downloaded."""


class UnsupportedModel(ModelError):
    """A checkpoint asks for an architecture, rope type, recipe or precision that is not implemented; the message names it."""


class ExportFailed(ModelError):
    """An export cannot begin or end, as where its folder exists already; nothing that looks like a model was left behind."""


class SelfTestFailed(ModelError):
    """A model does not give the scores that its recipe records, so it is not served."""


class RuntimeConflict(ModelError):
    """The environment holds both onnxruntime and onnxruntime-gpu."""


class DeviceUnavailable(ModelError):
    """The device of the settings, such as CUDA, cannot run models here."""


class InferenceFailed(ModelError):
    """The model ran, and gave an error, NaN or the wrong number of values."""


class OutOfMemory(InferenceFailed):
    """The device has no memory left for a batch; smaller batches may fit."""


class IndexFailure(SearchError):
    """An operation of the vector index failed.

    Attributes:
        transient: whether the same request may go well later.
    """

    transient = False


class IndexBusy(IndexFailure):
    """Another process owns the data folder, or somebody else writes the collection."""


class IndexMismatch(IndexFailure):
    """The collection's vectors come from another embedder."""


class CollectionForeign(IndexMismatch):
    """Another program made the collection, so that it is searched, and never written to."""


class IndexCorrupt(IndexFailure):
    """The collection's files cannot be opened."""


class IndexHindered(IndexFailure):
    """This machine refuses what the engine needs: memory, open files, rights, or a disk that can be written and read."""


class ReindexRefused(IndexFailure):
    """The collection cannot be moved to a new one, or there is none to lead its name back to; it is as it was."""


class IndexFull(IndexFailure):
    """There is too little room left, on the disk here or by the server's disk, memory or limits; the collection is as it was."""


class DocumentIncomplete(IndexFailure):
    """Some passages of a document are missing, so that it cannot be returned; ingest it again."""


class CollectionNotFound(IndexFailure):
    """The collection does not exist: nothing has been ingested under this name."""


class IndexUnreachable(IndexFailure):
    """There is no connection to the server."""

    transient = True


class IndexTimeout(IndexFailure):
    """The server did not answer in time."""

    transient = True


class IndexDenied(IndexFailure):
    """The API key is missing, wrong, or may do less than this takes."""


class IndexOverloaded(IndexFailure):
    """The server asks for fewer requests (429).

    Attributes:
        retry_after_s: seconds of its Retry-After, None if it sent none.
    """

    transient = True

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class IndexFaulted(IndexFailure):
    """The server failed on the request, as it says itself, and may not on the next one."""

    transient = True


class IndexRejected(IndexFailure):
    """The engine refused the request as it stands."""


class IndexGarbled(IndexFailure):
    """What answered is no Qdrant, as a proxy's page or another server, or gave what no Qdrant gives: a redirect, far too much.

    Attributes:
        transient: True for what may be a proxy's for a while, as a page on maintenance; False for what would come again.
    """

    def __init__(self, message: str, *, transient: bool = True) -> None:
        super().__init__(message)
        self.transient = transient


class SearcherClosed(SearchError):
    """The searcher was closed, by itself or with the one that it is beside."""


class ServiceError(SearchError):
    """A request to a service over HTTP had no answer, or one that is no success."""


class ServiceUnreachable(ServiceError):
    """The service does not answer, or did not in time."""


class ServiceOverloaded(ServiceError):
    """The service refused a request, since it would have waited too long (429).

    Attributes:
        retry_after_s: seconds until it would not.
    """

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ServiceRefused(ServiceError):
    """The service refused a request, as of a key that may not, or failed on it; the message is its own.

    Attributes:
        status: of the answer, by HTTP, also of one that a proxy gave; None if there was none.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
