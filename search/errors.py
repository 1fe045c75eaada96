"""Every error this package raises on purpose. Each message says what to do next.

SearchError
├── InvalidInput                 the caller can mend it
│   ├── InvalidSettings          a setting, environment variable or search.toml
│   ├── InvalidQuery             empty query, limit or depth out of range
│   ├── InvalidDocument          empty text, metadata that is not JSON
│   ├── DocumentNotFound         no document of a collection has this id
│   ├── TenantRequired           a collection is shared, and nobody said for which tenant
│   ├── CollectionUnshared       a collection does not note that tenants share it
│   ├── UnsupportedFilter        an unknown field, a test of nothing, or what engines understand differently
│   └── InvalidDataset           an evaluation folder that does not fit together
├── ReaderFailed                 the process that reads files cannot be started
├── MissingExtra                 an optional part of the package is not installed
├── ModelError
│   ├── ModelNotFound            neither bundled, nor a folder, nor known to FastEmbed
│   ├── ModelIncomplete          a model folder lacks a file, or one cannot be read
│   ├── ModelCorrupt             a file differs from its recorded sha256, or ONNX Runtime cannot load it
│   ├── ModelUnavailable         a named model could not be downloaded
│   ├── UnsupportedModel         an architecture, rope type, recipe or precision that is not implemented
│   ├── ExportFailed             the folder exists already, or the disk is too small
│   ├── SelfTestFailed           a model does not give the scores its recipe records
│   ├── RuntimeConflict          both onnxruntime and onnxruntime-gpu are installed
│   ├── DeviceUnavailable        the setting says CUDA, which is not there
│   └── InferenceFailed          the model ran and gave an error, NaN or the wrong number of values
│       └── OutOfMemory          the device's memory does not hold the batch
├── IndexFailure
│   ├── IndexBusy                another process owns the data folder, or somebody writes the collection
│   ├── IndexMismatch            the collection was built with another embedder
│   │   └── CollectionForeign    another program made the collection, which is searched and never written to
│   ├── IndexCorrupt             the files of the collection cannot be opened
│   ├── ReindexRefused           a collection cannot be moved, or not be led back
│   ├── IndexFull                the disk has too little room left
│   ├── DocumentIncomplete       passages of a document are missing
│   ├── CollectionNotFound       nothing has been ingested under this name
│   ├── IndexUnreachable         no connection to the server, or it broke
│   ├── IndexTimeout             the server did not answer in time
│   ├── IndexDenied              the API key is missing, wrong, or may do less than this takes
│   ├── IndexOverloaded          429: too many requests; `retry_after_s` if the server said so
│   ├── IndexFaulted             the server failed on the request, as it may not on the next one
│   ├── IndexRejected            the engine refused the request
│   └── IndexGarbled             what answered is no Qdrant, or gave an answer that no Qdrant gives
└── ServiceError                 of the HTTP service and of its clients
    ├── ServiceUnreachable       it does not answer
    ├── ServiceOverloaded        429: too much to do; `retry_after_s` says when to come again
    └── ServiceRefused           any other answer that is no success, such as to a key that may not
"""


class SearchError(Exception):
    """The root: catch this to catch everything below."""


class InvalidInput(SearchError):
    """The caller's input cannot be used; nothing was changed."""


class InvalidSettings(InvalidInput):
    """A setting has an unknown name or a value out of range."""


class InvalidQuery(InvalidInput):
    """The query is empty, or limit and depth do not fit each other."""


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
    """An evaluation data set is missing a file or contradicts itself."""


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
    """A model file is not what it should be."""


class ModelUnavailable(ModelError):
    """A model that is named is not on this machine and could not be downloaded."""


class UnsupportedModel(ModelError):
    """A checkpoint asks for something this package does not compute; the message names it."""


class ExportFailed(ModelError):
    """An export cannot begin or end; nothing that looks like a model was left behind."""


class SelfTestFailed(ModelError):
    """A model does not give the scores that its recipe records, so it is not served."""


class RuntimeConflict(ModelError):
    """The environment holds both ONNX runtimes."""


class DeviceUnavailable(ModelError):
    """The device of the settings cannot run models here."""


class InferenceFailed(ModelError):
    """The model ran but gave no usable answer."""


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


class ReindexRefused(IndexFailure):
    """The collection cannot be moved to a new one, or there is none to lead its name back to; it is as it was."""


class IndexFull(IndexFailure):
    """There is too little room left, on the disk here or by the server's disk, memory or limits; the collection is as it was."""


class DocumentIncomplete(IndexFailure):
    """Some passages of a document are missing, so that it cannot be returned; ingest it again."""


class CollectionNotFound(IndexFailure):
    """The collection does not exist."""


class IndexUnreachable(IndexFailure):
    """There is no connection to the server."""

    transient = True


class IndexTimeout(IndexFailure):
    """The server did not answer in time."""

    transient = True


class IndexDenied(IndexFailure):
    """The server did not accept the API key, or not for this."""


class IndexOverloaded(IndexFailure):
    """The server asks for fewer requests.

    Attributes:
        retry_after_s: seconds of its Retry-After, None if it sent none.
    """

    transient = True

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class IndexFaulted(IndexFailure):
    """The server failed on the request; it says so itself."""

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


class ServiceError(SearchError):
    """A request to a service over HTTP had no answer, or one that is no success."""


class ServiceUnreachable(ServiceError):
    """The service does not answer, or did not in time."""


class ServiceOverloaded(ServiceError):
    """The service refused a request, since it would have waited too long.

    Attributes:
        retry_after_s: seconds until it would not.
    """

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ServiceRefused(ServiceError):
    """The service refused a request, or failed on it; the message is its own.

    Attributes:
        status: of the answer, by HTTP; None if it was no answer of a service.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
