// What the compiler expects to find: the mem* functions, and an end for pure virtual calls.

#include <cstddef>
#include <cstdint>

extern "C" {

void* memcpy(void* target, const void* source, size_t size) {
    void* start = target;
    asm volatile("rep movsb" : "+D"(target), "+S"(source), "+c"(size) : : "memory");
    return start;
}

void* memset(void* target, int value, size_t size) {
    void* start = target;
    asm volatile("rep stosb" : "+D"(target), "+c"(size) : "a"(value) : "memory");
    return start;
}

void* memmove(void* target, const void* source, size_t size) {
    auto* to = static_cast<uint8_t*>(target);
    const auto* from = static_cast<const uint8_t*>(source);
    if (to <= from || to >= from + size) return memcpy(target, source, size);
    while (size > 0) {
        --size;
        *static_cast<volatile uint8_t*>(to + size) = from[size];
    }
    return target;
}

int memcmp(const void* left, const void* right, size_t size) {
    const auto* a = static_cast<const uint8_t*>(left);
    const auto* b = static_cast<const uint8_t*>(right);
    for (size_t index = 0; index < size; ++index) {
        if (a[index] != b[index]) return a[index] < b[index] ? -1 : 1;
    }
    return 0;
}

void* memchr(const void* area, int value, size_t size) {
    const auto* bytes = static_cast<const uint8_t*>(area);
    for (size_t index = 0; index < size; ++index) {
        if (bytes[index] == static_cast<uint8_t>(value)) return const_cast<uint8_t*>(bytes + index);
    }
    return nullptr;
}

size_t strlen(const char* text) {
    size_t length = 0;
    while (text[length] != 0) {
        ++length;
    }
    return length;
}

}  // extern "C"
