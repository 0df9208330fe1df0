#pragma once
// An optimistic transaction: works on its own copy of the tree and, at its end, is merged if nobody has
// changed what it used. What it used is known per node and per part of a node, so that two transactions which
// create different children of one directory don't disturb each other.

#include <vector>

#include "xenstore/tree.h"
#include "xenstore/tree_access.h"
#include "xenstore/types.h"

namespace torii::dom0::xenstore {

class Transaction {
public:
    explicit Transaction(const Tree& store) : base_(store), view_(store) {}

    // One that was open when the last daemon ended, or for too long: what it did is lost, so it can only end
    // in kTryAgain. Until then it answers from the tree as it is now, because its client is owed an answer to
    // each request.
    static Transaction lost(const Tree& store) {
        Transaction transaction(store);
        transaction.lost_ = true;
        return transaction;
    }

    [[nodiscard]] Tree& view() { return view_; }
    [[nodiscard]] bool is_lost() const { return lost_; }
    // How many changes the store has seen since the transaction began.
    [[nodiscard]] std::uint64_t age(const Tree& store) const {
        return store.generation() - base_.generation();
    }
    [[nodiscard]] FacetLog& facets() { return facets_; }

    // Brings the changes into `store`. On an error `store` is unchanged.
    Expected<std::vector<Change>> merge_into(Tree& store, const Principal& principal,
                                             const Quota& quota) const;

private:
    [[nodiscard]] bool conflicts_with(const Tree& store) const;
    void merge_path(const std::string& path, unsigned facets, Tree& store,
                    std::vector<Change>& changes) const;

    Tree base_;  // the store when the transaction began
    Tree view_;
    FacetLog facets_;
    bool lost_ = false;
};

}  // namespace torii::dom0::xenstore
