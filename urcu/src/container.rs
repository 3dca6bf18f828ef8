//! [`container_of!`](crate::container_of): from a field to what holds it.

/// From a pointer to a field to a pointer to the whole: `container_of!(pointer, Type, field)`.
///
/// Takes a `*mut` to the field and gives a `*mut Type`; computes an address and nothing else, so it is safe.
/// That the pointer does point to this field of a `Type` is the caller's claim, to be made good where the
/// result is dereferenced. A pointer of another type than the field's does not compile.
///
/// The field's pointer must itself have been made from a pointer to the whole (`&raw const (*node).head`).
/// One made from a `&RcuHead` may be used for the head's bytes only, and what this macro gives then is no
/// pointer to the rest of the node (rule A18 of the design: provenance ends at the field).
///
/// ```
/// use urcu::{RcuHead, container_of};
///
/// struct Node {
///     value: u64,
///     head: RcuHead,
/// }
///
/// let node = Box::into_raw(Box::new(Node { value: 7, head: RcuHead::new() }));
/// let head = unsafe { &raw mut (*node).head };
/// assert_eq!(container_of!(head, Node, head), node);
/// assert_eq!(unsafe { Box::from_raw(node) }.value, 7);
/// ```
///
/// ```compile_fail,E0308
/// # use urcu::{RcuHead, container_of};
/// # struct Node { value: u64, head: RcuHead }
/// # let node = Box::into_raw(Box::new(Node { value: 7, head: RcuHead::new() }));
/// # let value = unsafe { &raw mut (*node).value };
/// container_of!(value, Node, head); // a pointer to the other field
/// ```
#[macro_export]
macro_rules! container_of {
    ($pointer:expr, $Type:ty, $field:ident) => {{
        let field = $pointer;
        // Never called: elements of one array, so the pointer's type is that of the field.
        let _same = |whole: &$Type| [field, (&raw const whole.$field).cast_mut()];
        field
            .wrapping_byte_sub(::core::mem::offset_of!($Type, $field))
            .cast::<$Type>()
    }};
}
