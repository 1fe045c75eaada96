"""How is a collection made on a server? Anew, or like the one that it is to replace: its shards, its quantization, its indexes."""

import json
import warnings

from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse

from search.errors import IndexDenied, IndexFailure, IndexRejected
from search.index.collections import as_replaced, refuse_to_begin_anew, versions
from search.index.contract import CollectionSpec
from search.index.exact import indexed_path
from search.index.layout import noted_of
from search.index.server.connection import check_version
from search.index.server.conversion import (
    OF_TENANTS,
    noted,
    quantization_config_of,
    quantization_of,
    spec_of,
    to_creation,
    to_schema,
)
from search.index.server.described import Access, Described
from search.index.server.foreign import Wanted, spec_and_layout
from search.index.server.limits import indexes_needed
from search.index.server.names import Name
from search.index.server.reserved import is_unused, passages_only
from search.index.server.sharding import Sharding, create_keys, inherited, is_keyed, keyed
from search.settings import LayoutSettings, checked_collection, section_of

FIRST = ".v1"  # of the names of collections that one alias leads to, one after the other
_CONFLICT = 409


class Creation:
    """Makes the collection of one name, and what belongs to it."""

    def __init__(self, access: Access, like: str | None, like_layout: LayoutSettings) -> None:
        """`like` is what it is to replace, and `like_layout` where passages lie there, if another program filled it."""
        self.made = ""  # what was made by this, until something is written to it
        self._access = access
        self._like = like
        self._like_layout = like_layout

    def make(self, spec: CollectionSpec, purpose: str) -> str:
        """Make a collection of that name."""
        check_version(self._access.client, self._access.location)
        self._make(self._access.name, spec, purpose)
        return self._access.name

    def make_aliased(self, spec: CollectionSpec, name: Name) -> str:
        """Make a collection, and the name as an alias of it, so that it can be led to another one; the collection's own name."""
        check_version(self._access.client, self._access.location)
        checked_collection(self._access.name)
        first = f"{self._access.name}{FIRST}"
        left = [
            one
            for one in versions(self._access.name, name.collections())
            if self._access.client.count(one, passages_only(None), exact=False).count
        ]
        if left and (target := name.target()) is not None:  # another process was quicker
            return target
        refuse_to_begin_anew(self._access.name, self._access.location, left)
        self._make(first, spec)
        lead = models.CreateAlias(collection_name=first, alias_name=self._access.name)
        self._access.client.update_collection_aliases([models.CreateAliasOperation(create_alias=lead)])
        return first

    def complete(self, collection: Described, tenant: str) -> None:
        """Make what a creation was interrupted before: shard keys and payload indexes; what is there stays."""
        if collection.keys:
            self._create_keys(collection.target, collection.keys.shared)
        with self._access.translated():
            self.index_payload(collection, tenant)
            if self._like is not None:
                self._index_likewise(self._like, collection)

    def index_payload(self, collection: Described, tenant: str) -> None:
        """Make the payload indexes that its strict mode, the settings and its tenants need."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Payload indexes have no effect in the local Qdrant", UserWarning)
            if tenant and collection.indexed.get(tenant) != "keyword":  # first, lest it be made without saying what it is for
                self._access.client.create_payload_index(collection.target, tenant, OF_TENANTS)
                collection.indexed[tenant] = "keyword"
            indexed_only = collection.limits.indexed_only
            for field, kind in indexes_needed(self._access.storage.payload_indexes, collection.limits).items():
                path, schema = indexed_path(field, indexed_only=indexed_only), to_schema(kind, indexed_only=indexed_only)
                if path != tenant and collection.indexed.get(path) != schema.value:
                    self._access.client.create_payload_index(collection.target, path, schema)
                    collection.indexed[path] = schema.value

    def undo(self) -> bool:
        """Remove what was made, with its alias, if nothing was written and nobody else claims it; whether it is removed."""
        if not self.made:
            return False
        with self._access.translated():
            earlier = noted(self._access.client.get_collection(self.made).config, "writer")  # where versions before claim it
            if earlier or not is_unused(self._access.client, self.made):  # a write that seemed to fail may have been carried out
                return False
            self._access.client.delete_collection(self.made)
        self.made = ""
        return True

    def _make(self, name: str, spec: CollectionSpec, purpose: str = "") -> None:
        sharding, storage, quantization = self._access.sharding, self._access.storage, None
        if self._like is not None:
            config = self._access.client.get_collection(self._like).config
            storage = as_replaced(storage, {"quantization": quantization_of(config), "storage": noted(config, "storage")})
            sharding, quantization = inherited(sharding, config), quantization_config_of(config)
            if is_keyed(config.params) and inherited(Sharding(), config).key is None:  # whose ids may stand for several points
                raise IndexRejected(keyed(self._like, self._access.location))
        try:
            self._access.client.create_collection(name, **to_creation(spec, storage, sharding, purpose, quantization))
            self.made = name
        except UnexpectedResponse as error:
            if error.status_code != _CONFLICT:  # another process was quicker; what it made is compared next
                raise

    def _create_keys(self, target: str, shared: str) -> None:
        try:
            with self._access.translated():
                create_keys(self._access.client, target, shared, self._like)
        except IndexFailure as error:
            if not isinstance(error, IndexDenied) or self.made:  # a key for points alone may not look
                raise

    def _index_likewise(self, like: str, collection: Described) -> None:
        """Make those that somebody made on the collection that this one replaces, whoever filled it."""
        info = self._access.client.get_collection(like)
        layout = None
        if info.payload_schema and spec_of(info.config) is None:
            copied = json.dumps(noted_of(collection.spec.adopted)[1:])
            theirs = Wanted(self._like_layout, section_of(like), collection.spec.dimension, copied)
            _, layout = spec_and_layout(self._access.client, like, info.config, theirs)
        indexed_only = collection.limits.indexed_only
        wanted = indexes_needed(self._access.storage.payload_indexes, collection.limits)
        own = {indexed_path(field, indexed_only=indexed_only) for field in wanted} | {collection.spec.tenant}
        for field, one in info.payload_schema.items():
            path = layout.in_ours(field) if layout else field
            if path is None or path in own or path in collection.indexed:
                continue
            schema = one.params or one.data_type
            if one.data_type == models.PayloadSchemaType.INTEGER:
                schema = to_schema("integer", indexed_only=indexed_only)
            self._access.client.create_payload_index(collection.target, path, schema)
